/**
 * A Gluster of one brick, alone in mount, network and process namespaces of its own that end with it, for tests and
 * measurements of the translator: the machine's own Gluster is neither used nor touched. The brick lies in memory.
 */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  type Argv,
  type Daemon,
  isAlive,
  type Outcome,
  run,
  runOk,
  startDaemon,
} from '../../linux/process.ts';
import { MountStatistics } from '../../model/volume-report.ts';
import { until } from '../runtimes/until.ts';

const REPOSITORY = path.resolve(import.meta.dirname, '../..');
const LIBRARY = path.join(REPOSITORY, 'build/sluice-io.so');
const ADDRESS = '10.99.77.1';
const VOLUME = 'v';

/** $1: the directory; $2: Gluster's library. */
const SETUP = `
mount -t proc proc /proc
mount --bind "$1/lib" /var/lib/glusterd
mount --bind "$1/log" /var/log/glusterfs
mount -t overlay -o "ro,lowerdir=$1/over:$2" over "$2"
mount -t tmpfs run /run
mount -t tmpfs -o size=6g brick "$1/brick"
ip link set lo up
ip address add ${ADDRESS}/32 dev lo
touch "$1/ready"
exec sleep 2147483647`;

export interface ClientOptions {
  /** As on the command line: `write-bytes`, `parents`, … */
  readonly options?: Readonly<Record<string, string | number>>;
  /** The same graph without the translator. */
  readonly plain?: boolean;
}

export interface BrickClient {
  /** Where the volume is mounted, inside. */
  readonly root: string;
  readonly token: string;
  readonly log: () => string;
  statistics(): Promise<MountStatistics>;
  /** Text as of docs/translator.md. */
  setLimits(text: string): Promise<void>;
  unmount(): Promise<void>;
}

export interface OneBrick extends AsyncDisposable {
  /** The same inside and outside. */
  readonly directory: string;
  /** The program, as it is run inside. */
  inside(argv: Argv): Argv;
  run(...argv: Argv): Promise<Outcome>;
  runOk(...argv: Argv): Promise<string>;
  client(name: string, options?: ClientOptions): Promise<BrickClient>;
}

export async function oneBrick(): Promise<OneBrick> {
  const directory = mkdtempSync('/var/tmp/sluice-brick-');
  let holder: Daemon | undefined;
  try {
    holder = await holdNamespaces(directory);
    const brick = worldOf(directory, holder);
    await startGluster(brick);
    return brick;
  } catch (thrown) {
    await takeDown(directory, holder);
    throw thrown;
  }
}

async function holdNamespaces(directory: string): Promise<Daemon> {
  for (const name of ['lib', 'log', 'brick', 'over/filter', 'over/xlator/features'])
    mkdirSync(path.join(directory, name), { recursive: true });
  cpSync(LIBRARY, path.join(directory, 'over/xlator/features/sluice-io.so'));
  const filter = path.join(directory, 'over/filter/sluice-io');
  cpSync(path.join(REPOSITORY, 'build/sluice-volfiles'), filter);
  chmodSync(filter, 0o755);
  const library = path.dirname((await runOk(['glusterfs', '--print-xlatordir'])).trim());
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child'];
  const holder = await startDaemon(
    ['unshare', ...namespaces, 'sh', '-euc', SETUP, 'sh', directory, library],
    { logFile: path.join(directory, 'holder.log') },
  );
  await until('the namespaces are set up', () => {
    if (!isAlive(holder.id)) throw new Error(readFileSync(path.join(directory, 'holder.log'), 'utf8'));
    return readText(path.join(directory, 'ready')) !== undefined;
  });
  return holder;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function worldOf(directory: string, holder: Daemon): OneBrick {
  const first = readFileSync(`/proc/${holder.id.pid}/task/${holder.id.pid}/children`, 'utf8').trim();
  const inside = (argv: Argv): Argv => ['nsenter', '-t', first, '-m', '-n', '-p', ...argv];
  const world: OneBrick = {
    directory,
    inside,
    run: (...argv) => run(inside(argv), { timeoutMs: 120_000 }),
    runOk: (...argv) => runOk(inside(argv), { timeoutMs: 120_000 }),
    client: (name, options = {}) => startClient(world, name, options),
    [Symbol.asyncDispose]: () => takeDown(directory, holder),
  };
  return world;
}

async function startGluster(world: OneBrick): Promise<void> {
  await startDaemon(world.inside(['glusterd', '--no-daemon', '-p', '/run/glusterd.pid']));
  await until('glusterd answers', async () => {
    const { code } = await world.run('gluster', '--mode=script', 'peer', 'status');
    return code === 0;
  });
  const gluster = (...words: string[]) => world.runOk('gluster', '--mode=script', ...words);
  await gluster('volume', 'create', VOLUME, `${ADDRESS}:${world.directory}/brick/b`, 'force');
  await gluster('volume', 'set', VOLUME, 'features.shard', 'on');
  await gluster('volume', 'start', VOLUME);
}

async function startClient(world: OneBrick, name: string, { options = {}, plain = false }: ClientOptions) {
  const { directory } = world;
  const root = path.join(directory, `mnt-${name}`);
  const log = path.join(directory, `client-${name}.log`);
  const token = `token-of-${name}`;
  mkdirSync(root);
  writeFileSync(path.join(directory, `token-${name}`), `${token}\n`, { mode: 0o600 });
  const all = { token: path.join(directory, `token-${name}`), ...options };
  const ours = Object.entries(all).map(([key, value]) => `--xlator-option=*-sluice-io.${key}=${value}`);
  const graph = plain
    ? [`--volfile=${plainVolfile(directory)}`]
    : [`--volfile-server=${ADDRESS}`, `--volfile-id=${VOLUME}`, ...ours];
  const argv: Argv = ['glusterfs', '--no-daemon', ...graph, `--log-file=${log}`, root];
  const client = await startDaemon(world.inside(argv));
  await until('the volume is mounted', async () => {
    if (!isAlive(client.id)) throw new Error(`the client has ended: ${readText(log)}`);
    const { code, stdout } = await world.run('stat', '-f', '-c', '%T', root);
    return code === 0 && stdout.trim() === 'fuseblk';
  });
  const attribute = (what: string): string => `trusted.sluice.io.${what}.${token}`;
  return {
    root,
    token,
    log: () => readText(log) ?? '',
    async statistics(): Promise<MountStatistics> {
      const text = await world.runOk('getfattr', '--only-values', '-n', attribute('statistics'), root);
      return MountStatistics.parse(JSON.parse(text));
    },
    async setLimits(text: string): Promise<void> {
      await world.runOk('getfattr', '-n', `${attribute('limits')}.${text}`, root);
    },
    async unmount(): Promise<void> {
      await world.runOk('umount', root);
      await until('the client has ended', () => !isAlive(client.id));
    },
  };
}

/** What clients are given, without the last part, which the filter has put there. */
function plainVolfile(directory: string): string {
  const file = path.join(directory, 'plain.vol');
  const text = readFileSync(path.join(directory, `lib/vols/${VOLUME}/${VOLUME}.tcp-fuse.vol`), 'utf8');
  const ours = text.indexOf(`volume ${VOLUME}-sluice-io`);
  if (ours < 0) throw new Error('the filter has not run');
  writeFileSync(file, text.slice(0, ours));
  return file;
}

async function takeDown(directory: string, holder: Daemon | undefined): Promise<void> {
  // With the first process of the process namespace everything inside goes, and then the mounts.
  await holder?.stop(200); // unshare heeds nothing but SIGKILL
  await until('nothing is left inside', () => {
    try {
      rmSync(directory, { recursive: true, force: true });
      return true;
    } catch {
      return false;
    }
  });
}
