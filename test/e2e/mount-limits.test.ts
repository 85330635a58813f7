/** Limits and counters of mounts, through clients of a real volume: from the first operation, live, shared, and when they hang. */
import { writeFileSync } from 'node:fs';
import { run } from '../../linux/process.ts';
import type { TenantName } from '../../model/names.ts';
import type { Mount } from '../../storaged/contract.ts';
import { until } from '../runtimes/until.ts';
import { clientsOf, useVolumeSite, VOLUME, wishOf } from '../support/volume-site.ts';

const MB = 1_000_000;
const FIELDS = ['volume.read', 'volume.write', 'volume.readOps', 'volume.writeOps'] as const;
const limitsOf = (write: number | null): Record<string, number | null> => ({
  ...Object.fromEntries(FIELDS.map((field) => [field, null])),
  'volume.write': write,
});
const use = useVolumeSite('sluice-mtl');
const { it } = use;

/** Writes so many megabytes, each on disk before the next. @returns bytes a second */
async function writtenTo(mounts: readonly Mount[], megabytes: number): Promise<number> {
  const before = performance.now();
  await Promise.all(
    mounts.map(async ({ hostPath }) => {
      const argv = [
        'dd',
        'if=/dev/zero',
        `of=${hostPath}/data`,
        'bs=100K',
        `count=${megabytes * 10}`,
      ] as const;
      expect((await run([...argv, 'oflag=sync'])).code).toBe(0);
    }),
  );
  return (mounts.length * megabytes * 1.024 * MB) / ((performance.now() - before) / 1_000);
}

it('holds what is effective from the first operation, and tells it', async () => {
  const mount = await use.keeper.mount(wishOf('slow', { effective: { 'volume.write': 4 * MB } }));
  const rate = await writtenTo([mount], 4);
  const { limits, write, metadata } = await use.keeper.statistics(mount.id);
  expect(rate).toBeLessThan(4.6 * MB);
  expect(limits).toEqual(limitsOf(4 * MB));
  expect({ bytes: write.bytes, errors: write.errors }).toEqual({ bytes: 4_096_000, errors: 0 });
  expect(write.throttledMs).toBeGreaterThan(0);
  expect(metadata.ops).toBeGreaterThan(0);
});

it('changes them live, and reads them back', async () => {
  const { id } = await use.keeper.mount(wishOf('live'));
  expect(await use.keeper.setLimits(id, { 'volume.write': 7 * MB })).toEqual([]);
  expect((await use.keeper.statistics(id)).limits).toEqual(limitsOf(7 * MB));
  expect(await use.keeper.setLimits(id, {})).toEqual([]);
  expect((await use.keeper.statistics(id)).limits).toEqual(limitsOf(null));
});

it('gives the successor of a dead client the limits that were set last', async () => {
  const { id } = await use.keeper.mount(wishOf('heir', { effective: { 'volume.write': 4 * MB } }));
  await use.keeper.setLimits(id, { 'volume.write': 9 * MB });
  process.kill(clientsOf(use.site)[0]!.id.pid, 'SIGKILL');
  await until('it is replaced', () => use.keeper.mounts()[0]?.replaced === 1);
  expect((await use.keeper.statistics(id)).limits).toEqual(limitsOf(9 * MB));
});

test.each([
  ['volume', { volume: VOLUME }],
  ['tenant', { tenant: 'blue' as TenantName }],
])('holds the mounts of one %s on this node to what they have together', async (_, owner) => {
  await use.site.shares.set(owner, { 'volume.write': 4 * MB });
  expect(use.site.shares.held(owner)).toEqual(limitsOf(4 * MB));
  const mounts = [await use.keeper.mount(wishOf('one')), await use.keeper.mount(wishOf('two'))];
  expect(await writtenTo(mounts, 2)).toBeLessThan(4.6 * MB);
  await use.site.shares.set(owner, {});
  expect(use.site.shares.held(owner)).toEqual(limitsOf(null));
  expect(await writtenTo(mounts, 2)).toBeGreaterThan(6 * MB);
});

it('is not held up by a client that hangs, and replaces it', async () => {
  const hangs = await use.keeper.mount(wishOf('hangs'));
  process.kill(clientsOf(use.site)[0]!.id.pid, 'SIGSTOP');
  const before = performance.now();
  await expect(use.keeper.statistics(hangs.id)).rejects.toMatchObject({ code: 'storage_failed' });
  expect(performance.now() - before).toBeLessThan(2_000);
  const other = await use.keeper.mount(wishOf('other'));
  expect((await use.keeper.statistics(other.id)).limits).toEqual(limitsOf(null));
  await until('it is replaced', () => use.keeper.mounts().find(({ id }) => id === hangs.id)?.replaced === 1);
  writeFileSync(`${hangs.hostPath}/again`, '');
});
