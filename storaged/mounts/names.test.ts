import type { ContainerId } from '../../model/names.ts';
import type { MountRequest, VolumeId } from '../../model/volume.ts';
import { clientIdOf, isClientId, mountIdOf } from './names.ts';

const PLACES = { hostDir: '/run/a/mounts', clientDir: '/run/a/clients' };
const REQUEST: MountRequest = {
  ...{ volume: 'v000000000001' as VolumeId, container: 'c1' as ContainerId },
  ...{ subDirectory: null, readOnly: false, limits: {}, into: { pid: 1, directory: '/data' } },
};
const idOf = (changes: Partial<MountRequest> = {}): string => mountIdOf(PLACES, { ...REQUEST, ...changes });

it('is the same mount in another process of the container, and with other limits', () => {
  expect(idOf({ into: { pid: 2, directory: '/data' }, limits: { 'volume.read': 64_000 } })).toBe(idOf());
});

it.each<Partial<MountRequest>>([
  { into: null },
  { into: { pid: 1, directory: '/other' } },
  { subDirectory: '/x' },
  { readOnly: true },
  { container: 'c2' as ContainerId },
  { volume: 'v000000000002' as VolumeId },
])('is another mount with %j', (changes) => {
  expect(idOf(changes)).not.toBe(idOf());
});

it('has one client for all directories of a volume in a container, and others for others', () => {
  const client = clientIdOf(PLACES, REQUEST);
  expect(isClientId(client)).toBe(true);
  expect(clientIdOf(PLACES, { ...REQUEST, subDirectory: '/x', readOnly: true } as MountRequest)).toBe(client);
  expect(clientIdOf(PLACES, { ...REQUEST, container: 'c2' as ContainerId })).not.toBe(client);
  expect(clientIdOf({ ...PLACES, clientDir: '/run/b/clients' }, REQUEST)).not.toBe(client);
});

it('takes nothing else for the directory of a client', () => {
  for (const name of ['shares', 'c1', 'm000000000001', 'c00000000000g']) expect(isClientId(name)).toBe(false);
});
