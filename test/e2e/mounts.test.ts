/** Shared volumes mounted for containers: a real Gluster with a volume of one brick. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { findClients } from '../../linux/gluster-client.ts';
import type { ContainerId, TenantName } from '../../model/names.ts';
import type { VolumeId } from '../../model/volume.ts';
import type { MountKeeper, MountWish } from '../../storaged/contract.ts';
import { openVolumeSite, type VolumeSite } from '../support/volume-site.ts';

const VOLUME = 'v0123456789ab' as VolumeId;

let site: VolumeSite;
let keeper: MountKeeper;

beforeAll(async () => {
  site = await openVolumeSite('sluice-mt');
  await site.makeVolume(VOLUME);
  keeper = await site.openKeeper();
});
afterAll(async () => {
  await keeper?.close();
  await site?.close();
});

const wish = (container: string, more: Partial<MountWish> = {}): MountWish => ({
  ...{ volume: VOLUME, container: container as ContainerId, tenant: 'blue' as TenantName },
  ...{ subDirectory: null, readOnly: false, limits: {}, into: null, sizeBytes: 2 ** 30, effective: {} },
  ...more,
});

it('lets two containers share files, and leaves nothing behind', async () => {
  const one = await keeper.mount(wish('one'));
  const two = await keeper.mount(wish('two'));
  writeFileSync(`${one.hostPath}/hello`, 'hi');
  expect(readFileSync(`${two.hostPath}/hello`, 'utf8')).toBe('hi');
  for (const { id } of keeper.mounts()) await keeper.unmount(id);
  expect([...readdirSync(site.hostDir), ...readdirSync(site.clientDir)]).toEqual([]);
  expect(
    [...findClients(() => true).values()].filter(({ errands }) => errands.root.startsWith(site.directory)),
  ).toEqual([]);
});
