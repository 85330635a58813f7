/** The limits of cgroups, on a kernel with cgroup v2 only: what test/cgroup proves on this machine's kernel, in a guest. */
import { bootGuest } from '../../lab/vm/guest.ts';
import { CASES } from '../cgroup/cases.ts';
import { nodeIn } from '../support/guest-node.ts';

/** Times mean nothing on processors as slow as a guest's, and whom to believe is no matter of versions. */
const ELSEWHERE = ['takes little time', 'believes a container that calls itself runc not for long'];
const NAMES = Object.keys(CASES).filter((name) => !ELSEWHERE.includes(name));
const LONGEST_MS = 170_000;

const results = new Map<string, unknown>();

beforeAll(async () => {
  await using guest = await bootGuest();
  // In one process: starting Node takes a guest a second.
  await nodeIn(guest, ['test/cgroup/limits-on-this-kernel.ts', '--slow', ...NAMES], {
    timeoutMs: LONGEST_MS,
    onLine: (line, stream) => {
      process.stdout.write(`${line}\n`);
      if (stream === 'stdout') results.set((JSON.parse(line) as { test: string }).test, JSON.parse(line));
    },
  });
}, LONGEST_MS);

describe('on cgroup v2, the keeper of limits', () => {
  it.each(NAMES)('%s', (name) => {
    expect(results.get(name)).toMatchObject({ version: 2, ok: true });
  });
});
