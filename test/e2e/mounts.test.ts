/** Shared volumes mounted for containers: a real Gluster with a volume of one brick, containers of podman. Needs root. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { layersAt } from '../../linux/host-points.ts';
import { mountsOf } from '../../linux/mount-table.ts';
import type { VolumeId } from '../../model/volume.ts';
import type { Mount, MountKeeper } from '../../storaged/contract.ts';
import { until } from '../runtimes/until.ts';
import {
  clientsOf,
  openVolumeSite,
  podmanAt,
  type SitePodman,
  VOLUME,
  type VolumeSite,
  wishOf,
} from '../support/volume-site.ts';

let site: VolumeSite;
let keeper: MountKeeper;
let podman: SitePodman;

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test mounts file systems: run it as root');
  site = await openVolumeSite('sluice-mt');
  await site.makeVolume(VOLUME);
  keeper = await site.openKeeper();
  podman = await podmanAt(site);
});
afterAll(async () => {
  await podman?.close();
  await keeper?.close();
  await site?.close();
});
afterEach(async () => {
  await keeper.keepOnly(() => false);
});

/** What there is of mounts. */
const remains = (): unknown[] => [
  ...readdirSync(site.hostDir),
  ...readdirSync(site.clientDir).filter((name) => name !== 'shares'),
  ...clientsOf(site),
  ...mountsOf('self').filter(({ point }) => point.startsWith(`${site.hostDir}/`)),
];

it('lets two containers share files', async () => {
  const one = await keeper.mount(wishOf('one'));
  const two = await keeper.mount(wishOf('two'));
  writeFileSync(`${one.hostPath}/hello`, 'hi');
  expect(readFileSync(`${two.hostPath}/hello`, 'utf8')).toBe('hi');
  expect(clientsOf(site)).toHaveLength(2);
});

it('leaves nothing behind', async () => {
  const { id } = await keeper.mount(wishOf('one'));
  await keeper.unmount(id);
  await keeper.unmount(id);
  expect({ remains: remains(), mounts: keeper.mounts() }).toEqual({ remains: [], mounts: [] });
});

it('makes one mount of repeated requests, and one client for all directories of a container', async () => {
  const first = await keeper.mount(wishOf('one'));
  expect(await keeper.mount(wishOf('one'))).toEqual(first);
  const below = { subDirectory: '/a/b' };
  const second = await keeper.mount(wishOf('one', below));
  writeFileSync(`${second.hostPath}/deep`, 'x');
  expect(readFileSync(`${first.hostPath}/a/b/deep`, 'utf8')).toBe('x');
  expect([keeper.mounts().length, clientsOf(site).length]).toEqual([2, 1]);
  await keeper.unmount(first.id);
  expect(readFileSync(`${second.hostPath}/deep`, 'utf8')).toBe('x');
});

it('mounts read-only where that was asked for', async () => {
  const one = await keeper.mount(wishOf('one', { readOnly: true }));
  expect(() => writeFileSync(`${one.hostPath}/no`, '')).toThrow('EROFS');
});

it('refuses a volume that there is not, and leaves nothing of the attempt', async () => {
  const unknown = 'v000000000000' as VolumeId;
  await expect(keeper.mount(wishOf('one', { volume: unknown }))).rejects.toMatchObject({
    code: 'storage_failed',
  });
  expect(remains()).toEqual([]);
});

it('takes no symbolic link of the volume for a sub-directory', async () => {
  const { hostPath } = await keeper.mount(wishOf('one'));
  await podman.start('linker', ['--volume', `${hostPath}:/data:rslave`]);
  await podman.podman.exec('linker', ['ln', '-s', '/etc', '/data/trap']);
  await podman.podman.exec('linker', ['ln', '-s', '..', '/data/up']);
  for (const path of ['/trap', '/up', '/trap/ssl', '/up/etc'])
    await expect(keeper.mount(wishOf('one', { subDirectory: path }))).rejects.toMatchObject({
      code: 'refused',
    });
  expect(keeper.mounts()).toHaveLength(1);
});

describe('in a container that runs', () => {
  let pid: number;
  beforeAll(async () => {
    pid = await podman.start('running');
  });
  const into = (directory: string): Pick<Mount, 'into'> => ({
    into: { pid, directory: directory },
  });

  it('mounts at a directory that it makes, and takes both away again', async () => {
    const { id } = await keeper.mount(wishOf('running', into('/srv/shared/data')));
    await podman.podman.exec('running', ['sh', '-c', 'echo inside >/srv/shared/data/from']);
    expect(readFileSync(`${site.brickOf(VOLUME)}/from`, 'utf8')).toBe('inside\n');
    await keeper.unmount(id);
    expect(existsSync(`/proc/${pid}/root/srv`)).toBe(false);
    expect(remains()).toEqual([]);
  });

  it('refuses directories of the system, and a place that is taken', async () => {
    for (const directory of ['/etc', '/proc/1', '/usr/share/x', '/dev/shm', '/lib64', '/run', '/var'])
      await expect(keeper.mount(wishOf('running', into(directory)))).rejects.toMatchObject({
        code: 'refused',
      });
    await keeper.mount(wishOf('running', into('/data')));
    const other = wishOf('running', { ...into('/data'), subDirectory: '/x' });
    await expect(keeper.mount(other)).rejects.toMatchObject({ code: 'conflict' });
    expect(keeper.mounts()).toHaveLength(1);
  });

  it("refuses a process that has the machine's own mounts", async () => {
    const wish = wishOf('self', { into: { pid: process.pid, directory: '/data' } });
    await expect(keeper.mount(wish)).rejects.toMatchObject({ code: 'refused' });
    expect(remains()).toEqual([]);
  });
});

it('ends the mounts of containers that are gone, and no others', async () => {
  await keeper.mount(wishOf('gone'));
  const stays = await keeper.mount(wishOf('stays'));
  await keeper.keepOnly(({ container }) => container === stays.container);
  expect(keeper.mounts()).toEqual([stays]);
  expect(clientsOf(site)).toHaveLength(1);
});

it('goes on with what the last storaged has left, without touching its clients', async () => {
  const { hostPath } = await keeper.mount(wishOf('one'));
  const [before] = clientsOf(site);
  await keeper.close();
  keeper = await site.openKeeper();
  expect(keeper.mounts()).toMatchObject([{ hostPath, state: 'mounted', replaced: 0 }]);
  expect(clientsOf(site)).toEqual([before]);
});

it('replaces at its start a client that died while no storaged was there', async () => {
  const { hostPath } = await keeper.mount(wishOf('one'));
  writeFileSync(`${hostPath}/kept`, 'kept');
  await keeper.close();
  process.kill(clientsOf(site)[0]!.id.pid, 'SIGKILL');
  keeper = await site.openKeeper();
  await until('it is replaced', () => keeper.mounts()[0]?.replaced === 1);
  expect(readFileSync(`${hostPath}/kept`, 'utf8')).toBe('kept');
  expect(layersAt(hostPath)).toHaveLength(3);
});
