/** Attacks of a container on the mounting of its volume, with root's rights inside. Needs root. */
import { copyFileSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { mountsOf } from '../../linux/mount-table.ts';
import { runOk, startDaemon } from '../../linux/process.ts';
import { asSluiceError } from '../../model/errors.ts';
import { useVolumeSite, wishOf } from '../support/volume-site.ts';
import { line } from './attack.ts';

const use = useVolumeSite('sluice-mta');
const { it } = use;

const isOurs = ({ source }: { source: string }): boolean => source.startsWith('sluice-c');
/** What is mounted on the machine when a test begins, by others. */
let before: ReadonlySet<number>;
beforeEach(() => {
  before = new Set(mountsOf('self').map(({ id }) => id));
});
/** Where a volume is mounted on the machine itself since then, but at the points that are for it. */
const straysOnHost = (): string[] =>
  mountsOf('self')
    .filter((one) => isOurs(one) && !before.has(one.id) && !one.point.startsWith(`${use.site.hostDir}/`))
    .map(({ point }) => point);

const EXCHANGE = path.resolve(import.meta.dirname, '../support/exchange-process.ts');
const ROUNDS = 25;

it('A15: a directory and a symbolic link are exchanged while it is mounted on', async () => {
  const pid = await use.podman.start('racer');
  const root = `/proc/${pid}/root`;
  const outside = `${use.site.directory}/outside`;
  mkdirSync(`${outside}/data`, { recursive: true });
  mkdirSync(`${root}/a`);
  // To a system directory of its own, and, for who follows it outside the container, to one of the machine.
  mkdirSync(`${root}${outside}`, { recursive: true });
  symlinkSync(outside, `${root}/b`);
  const exchanger = await startDaemon([process.execPath, EXCHANGE, `${root}/a`, `${root}/b`]);
  const tally = { mounted: 0, refused: 0, elsewhere: 0, followed: 0 };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      if (lstatSync(`${root}/a`).isSymbolicLink()) tally.followed++;
      const wish = wishOf('racer', { into: { pid, directory: '/a/data' } });
      const mount = await use.keeper.mount(wish).catch((error: unknown) => {
        const { code, message } = asSluiceError(error);
        return code === 'storage_failed' ? message : code;
      });
      const points = mountsOf(pid)
        .filter(isOurs)
        .map(({ point }) => point);
      // The directory is moved with what is mounted in it, so it may be seen by its other name.
      const wrong = points.filter((point) => point !== '/a/data' && point !== '/b/data');
      if (wrong.length > 0 || straysOnHost().length > 0 || readdirSync(`${outside}/data`).length > 0)
        tally.elsewhere++;
      if (typeof mount === 'string') {
        expect(['refused', 'not_found', 'kernel_refused']).toContain(mount);
        tally.refused++;
      } else {
        tally.mounted++;
        await use.keeper.unmount(mount.id).catch(() => undefined);
      }
    }
  } finally {
    await exchanger.stop(0).catch(() => undefined);
  }
  line(
    'A15',
    'directory and symbolic link exchanged during a mount',
    ROUNDS,
    ROUNDS - tally.elsewhere,
    `  ${JSON.stringify(tally)}`,
  );
  expect(tally.elsewhere).toBe(0);
  expect([tally.refused > 0, tally.followed > 0]).toEqual([true, true]);
});

it('A15: directories that lead elsewhere, or belong to the system', async () => {
  const pid = await use.podman.start('paths');
  const root = `/proc/${pid}/root`;
  symlinkSync('/etc', `${root}/link`);
  symlinkSync('/proc/self/root/etc', `${root}/magic`);
  symlinkSync('..', `${root}/tmp/up`);
  writeFileSync(`${root}/file`, '');
  const targets = [
    ...['/link', '/link/deeper', '/magic', '/magic/x', '/tmp/up', '/tmp/up/etc', '/file', '/file/x'],
    ...[
      '/data/../etc',
      '/..',
      '/data/..',
      '//etc',
      '/etc/',
      '/',
      'etc',
      '/proc/self/root',
      '/proc/1/cwd',
      '/data\0',
    ],
    ...[
      '/etc',
      '/etc/ssl',
      '/usr',
      '/bin/x',
      '/sbin',
      '/lib',
      '/lib64/x',
      '/dev',
      '/dev/shm/x',
      '/sys',
      '/run/x',
    ],
  ];
  let survived = 0;
  for (const directory of targets) {
    const refused = await use.keeper.mount(wishOf('paths', { into: { pid, directory } })).then(
      () => false,
      () => true,
    );
    if (refused && !mountsOf(pid).some(isOurs) && straysOnHost().length === 0) survived++;
  }
  line('A15', 'mount directories that lead elsewhere or belong to the system', targets.length, survived);
  expect(survived).toBe(targets.length);
  expect(use.keeper.mounts()).toEqual([]);
});

it('A17: setuid programs and device files on a volume', async () => {
  const { hostPath } = await use.keeper.mount(wishOf('suid'));
  const pid = await use.podman.start('suid', ['--privileged', '--volume', `${hostPath}:/data:rslave`]);
  const sh = (script: string): Promise<string> => use.podman.podman.exec('suid', ['sh', '-c', script]);
  const program = `${use.site.directory}/who`;
  // Busybox gives such rights away by itself.
  const source = 'int geteuid(void); int main(void) { return geteuid() != 0; }';
  await runOk(['gcc', '-static', '-x', 'c', '-o', program, '-'], { stdin: source });
  copyFileSync(program, `/proc/${pid}/root/who`);
  await sh('cp /who /data/who && chmod 4755 /who /data/who && mknod /data/zero c 1 5 && mknod /zero c 1 5');
  const isRoot = (file: string): Promise<boolean> =>
    use.podman.podman.call(['exec', '--user', '65534', 'suid', file]).then(
      () => true,
      () => false,
    );
  // On the container's own file system both work.
  expect(await isRoot('/who')).toBe(true);
  expect((await sh('head -c 1 /zero | wc -c')).trim()).toBe('1');
  const attempts = [
    !(await isRoot('/data/who')),
    await sh('head -c 1 /data/zero').then(
      () => false,
      () => true,
    ),
    await sh('echo x >/data/zero').then(
      () => false,
      () => true,
    ),
  ];
  const survived = attempts.filter((one) => one).length;
  line('A17', 'setuid program and device file on a shared volume', attempts.length, survived);
  expect(survived).toBe(attempts.length);
});
