/** Shared volumes mounted for containers: a real Gluster with a volume of one brick, containers of podman. Needs root. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { layersAt, uncover } from '../../linux/host-points.ts';
import { mountsOf } from '../../linux/mount-table.ts';
import type { VolumeId } from '../../model/volume.ts';
import type { Mount } from '../../storaged/contract.ts';
import { until } from '../runtimes/until.ts';
import { clientsOf, useVolumeSite, VOLUME, wishOf } from '../support/volume-site.ts';

const use = useVolumeSite('sluice-mt');
const { it } = use;

/** What there is of mounts. */
const remains = (): unknown[] => [
  ...readdirSync(use.site.hostDir),
  ...readdirSync(use.site.clientDir).filter((name) => name !== 'shares'),
  ...clientsOf(use.site),
  ...mountsOf('self').filter(({ point }) => point.startsWith(`${use.site.hostDir}/`)),
];

it('lets two containers share files', async () => {
  const one = await use.keeper.mount(wishOf('one'));
  const two = await use.keeper.mount(wishOf('two'));
  writeFileSync(`${one.hostPath}/hello`, 'hi');
  expect(readFileSync(`${two.hostPath}/hello`, 'utf8')).toBe('hi');
  expect(clientsOf(use.site)).toHaveLength(2);
});

it('leaves nothing behind', async () => {
  const { id } = await use.keeper.mount(wishOf('one'));
  await use.keeper.unmount(id);
  await use.keeper.unmount(id);
  expect({ remains: remains(), mounts: use.keeper.mounts() }).toEqual({ remains: [], mounts: [] });
});

it('ends a mount although somebody of the machine writes where it was', async () => {
  const { id, hostPath } = await use.keeper.mount(wishOf('one'));
  uncover(hostPath);
  expect(() => writeFileSync(`${hostPath}/no`, '')).toThrow('EROFS');
  uncover(hostPath);
  writeFileSync(`${hostPath}/yes`, '');
  await use.keeper.unmount(id);
  expect(remains()).toEqual([]);
});

it('makes one mount of repeated requests, and one client for all directories of a container', async () => {
  const first = await use.keeper.mount(wishOf('one'));
  expect(await use.keeper.mount(wishOf('one'))).toEqual(first);
  const below = { subDirectory: '/a/b' };
  const second = await use.keeper.mount(wishOf('one', below));
  writeFileSync(`${second.hostPath}/deep`, 'x');
  expect(readFileSync(`${first.hostPath}/a/b/deep`, 'utf8')).toBe('x');
  expect([use.keeper.mounts().length, clientsOf(use.site).length]).toEqual([2, 1]);
  await use.keeper.unmount(first.id);
  expect(readFileSync(`${second.hostPath}/deep`, 'utf8')).toBe('x');
});

it('mounts read-only where that was asked for', async () => {
  const one = await use.keeper.mount(wishOf('one', { readOnly: true }));
  expect(() => writeFileSync(`${one.hostPath}/no`, '')).toThrow('EROFS');
});

it('refuses a volume that there is not, and leaves nothing of the attempt', async () => {
  const unknown = 'v000000000000' as VolumeId;
  await expect(use.keeper.mount(wishOf('one', { volume: unknown }))).rejects.toMatchObject({
    code: 'storage_failed',
  });
  expect(remains()).toEqual([]);
});

it('takes no symbolic link of the volume for a sub-directory', async () => {
  const { hostPath } = await use.keeper.mount(wishOf('one'));
  await use.podman.start('linker', ['--volume', `${hostPath}:/data:rslave`]);
  await use.podman.podman.exec('linker', ['ln', '-s', '/etc', '/data/trap']);
  await use.podman.podman.exec('linker', ['ln', '-s', '..', '/data/up']);
  for (const path of ['/trap', '/up', '/trap/ssl', '/up/etc'])
    await expect(use.keeper.mount(wishOf('one', { subDirectory: path }))).rejects.toMatchObject({
      code: 'refused',
    });
  expect(use.keeper.mounts()).toHaveLength(1);
});

describe('in a container that runs', () => {
  let pid: number;
  beforeAll(async () => {
    pid = await use.podman.start('running');
  });
  const into = (directory: string): Pick<Mount, 'into'> => ({
    into: { pid, directory: directory },
  });

  it('mounts at a directory that it makes, and takes both away again', async () => {
    const { id } = await use.keeper.mount(wishOf('running', into('/srv/shared/data')));
    await use.podman.podman.exec('running', ['sh', '-c', 'echo inside >/srv/shared/data/from']);
    expect(readFileSync(`${use.site.brickOf(VOLUME)}/from`, 'utf8')).toBe('inside\n');
    await use.keeper.unmount(id);
    expect(existsSync(`/proc/${pid}/root/srv`)).toBe(false);
    expect(remains()).toEqual([]);
  });

  it('refuses directories of the system, and a place that is taken', async () => {
    for (const directory of ['/etc', '/proc/1', '/usr/share/x', '/dev/shm', '/lib64', '/run', '/var'])
      await expect(use.keeper.mount(wishOf('running', into(directory)))).rejects.toMatchObject({
        code: 'refused',
      });
    const other = wishOf('running', { ...into('/data'), subDirectory: '/x' });
    const first = use.keeper.mount(wishOf('running', into('/data')));
    // Also while the first is still under way.
    await expect(use.keeper.mount(other)).rejects.toMatchObject({ code: 'conflict' });
    await first;
    await expect(use.keeper.mount(other)).rejects.toMatchObject({ code: 'conflict' });
    expect(use.keeper.mounts()).toHaveLength(1);
  });

  it("refuses a process that has the machine's own mounts", async () => {
    const wish = wishOf('self', { into: { pid: process.pid, directory: '/data' } });
    await expect(use.keeper.mount(wish)).rejects.toMatchObject({ code: 'refused' });
    expect(remains()).toEqual([]);
  });
});

it('ends the mounts of containers that are gone, and no others', async () => {
  await use.keeper.mount(wishOf('gone'));
  const stays = await use.keeper.mount(wishOf('stays'));
  await use.keeper.keepOnly(({ container }) => container === stays.container);
  expect(use.keeper.mounts()).toEqual([stays]);
  expect(clientsOf(use.site)).toHaveLength(1);
});

it('goes on with what the last storaged has left, without touching its clients', async () => {
  const { hostPath } = await use.keeper.mount(wishOf('one'));
  const [before] = clientsOf(use.site);
  await use.keeper.close();
  use.keeper = await use.site.openKeeper();
  expect(use.keeper.mounts()).toMatchObject([{ hostPath, state: 'mounted', replaced: 0 }]);
  expect(clientsOf(use.site)).toEqual([before]);
});

it('replaces at its start a client that died while no storaged was there', async () => {
  const { hostPath } = await use.keeper.mount(wishOf('one'));
  writeFileSync(`${hostPath}/kept`, 'kept');
  await use.keeper.close();
  process.kill(clientsOf(use.site)[0]!.id.pid, 'SIGKILL');
  use.keeper = await use.site.openKeeper();
  await until('it is replaced', () => use.keeper.mounts()[0]?.replaced === 1);
  expect(readFileSync(`${hostPath}/kept`, 'utf8')).toBe('kept');
  expect(layersAt(hostPath)).toHaveLength(3);
});
