/** Bricks on a kernel that has project quotas of XFS: `df` shows a brick's size to the byte, and files are limited to the file. */
import { bootGuest } from '../../lab/vm/guest.ts';
import type { Fill } from '../../model/volume-report.ts';
import { nodeIn } from '../support/guest-node.ts';

const MIB = 2 ** 20;
const LONGEST_MS = 120_000;

interface Seen {
  readonly bytes: number;
  readonly inodes: number;
  readonly files: number;
  readonly written: number;
  readonly said: string;
  readonly grown: Fill;
  readonly again: Fill;
}
let seen: Seen;

beforeAll(async () => {
  await using guest = await bootGuest({ cpus: 2, memoryMiB: 1024, diskMiB: 2_048 });
  const { code, stdout, stderr } = await nodeIn(
    guest,
    ['--disable-warning=ExperimentalWarning', 'test/vm/inside/bricks.ts'],
    { timeoutMs: LONGEST_MS },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  process.stdout.write(stdout);
  seen = JSON.parse(stdout) as Seen;
}, LONGEST_MS);

describe('a brick where the kernel counts projects', () => {
  it('shows the size and the files that were wanted', () => {
    expect(seen).toMatchObject({ bytes: 512 * MIB, inodes: 5_001 });
  });

  it('has exactly as many files as it may', () => {
    expect(seen.files).toBe(5_000);
  });

  it('takes no byte more than its size, and all of it but a few blocks', () => {
    expect(seen.said).toMatch(/No space left on device/);
    expect(seen.written).toBeLessThanOrEqual(512 * MIB);
    expect(seen.written).toBeGreaterThan(510 * MIB);
  });

  it('shows its new size after it has grown, and after a reboot', () => {
    for (const fill of [seen.grown, seen.again])
      expect(fill).toMatchObject({ totalBytes: 600 * MIB, totalInodes: 6_001 });
  });
});
