/** `sluice volume mount` and `unmount`: a volume in a container of this node, by this node's storaged. */
import type { Argv } from 'yargs';
import { SluiceError } from '../../model/errors.ts';
import type { Limits } from '../../model/limits.ts';
import { MountId, PathWithin } from '../../model/volume.ts';
import { show } from '../output.ts';
import { pathTo, withDaemon, withServer, withStoraged } from './clients.ts';
import { type Changing, changing } from './options.ts';
import { findVolume } from './volume-find.ts';
import { wouldDo } from './volume-make.ts';
import type { NamedFlags } from './volume-show.ts';
import { limitsText } from './volume-text.ts';
import { listOf, type Said, volumeLimits } from './volume-words.ts';

const MOUNTS = '/v1/mounts';

export interface MountFlags extends Changing, NamedFlags {
  readonly container: string;
  readonly at?: string | undefined;
  readonly pid?: number | undefined;
  readonly subDirectory?: string | undefined;
  readonly readOnly: boolean;
  readonly limit?: Said;
}

export function mountFlags<T>(yargs: Argv<T>): Argv<T & Omit<MountFlags, 'volume'>> {
  return changing(yargs)
    .option('container', CONTAINER)
    .option('at', {
      type: 'string',
      describe: 'Mount it there in the running container: /data',
    })
    .option('pid', {
      type: 'number',
      describe: 'A process of the running container, by its number on this node',
    })
    .option('sub-directory', {
      type: 'string',
      describe: 'Only this directory of the volume, made where it is missing: /uploads',
    })
    .option('read-only', { type: 'boolean', default: false, describe: 'So that it can only be read' })
    .option('limit', {
      type: 'string',
      describe: "Of this mount, before the volume's: read=20MB/s; may be said again",
    })
    .example('$0 volume mount shared --container web-1', 'prints the directory for the runtime to bind')
    .example(
      '$0 volume mount shared --container web-1 --at /data --pid 4711',
      'mounts it in the running container',
    ) as unknown as Argv<T & Omit<MountFlags, 'volume'>>;
}

const CONTAINER = {
  type: 'string',
  demandOption: true,
  describe: 'Whose: its name, its id or the beginning of it',
} as const;

interface Mounted {
  readonly id: string;
  readonly hostPath: string;
}

export async function mount(flags: MountFlags): Promise<void> {
  const into = intoOf(flags);
  const limits = volumeLimits(listOf(flags.limit));
  const { volume } = await withServer(flags, (client) => findVolume(client, flags.volume, flags.tenant));
  const body = {
    ...{ volume: volume.id, container: await containerIdOf(flags.container) },
    subDirectory: flags.subDirectory === undefined ? null : pathWithin('--sub-directory', flags.subDirectory),
    ...{ readOnly: flags.readOnly, limits, into },
  };
  const what = `mount volume ${volume.name} for container ${flags.container}${howText(flags, limits)}`;
  if (flags.dryRun) return wouldDo(flags.json, what, { method: 'PUT', path: MOUNTS, body });
  await withStoraged(async (client) => {
    const mounted = (await client.request('PUT', MOUNTS, body)) as Mounted;
    show(flags.json, mounted, () => mountedText(mounted, flags.at));
  });
}

/** Alone, the path is what a script wants to have. */
function mountedText({ hostPath }: Mounted, at: string | undefined): string {
  return at === undefined ? hostPath : `mounted at ${at}`;
}

function howText({ at, subDirectory, readOnly }: MountFlags, limits: Limits): string {
  return [
    ...(at === undefined ? [] : [` at ${at}`]),
    ...(subDirectory === undefined ? [] : [`, only ${subDirectory}`]),
    ...(readOnly ? [', read-only'] : []),
    ...(Object.keys(limits).length === 0 ? [] : [`, held to ${limitsText(limits)}`]),
  ].join('');
}

function intoOf({ at, pid }: MountFlags): { pid: number; directory: string } | null {
  if (at === undefined && pid === undefined) return null;
  if (at === undefined || pid === undefined)
    throw new SluiceError(
      'invalid_request',
      '--at and --pid go together: where, and in which container',
      'say both, or neither to have a directory for the runtime to bind',
    );
  if (Number.isSafeInteger(pid) && pid > 0) return { pid, directory: pathWithin('--at', at) };
  throw new SluiceError(
    'invalid_request',
    '--pid is no process',
    'say the number of one of its processes: podman inspect --format {{.State.Pid}} NAME',
  );
}

function pathWithin(option: string, word: string): string {
  const path = PathWithin.safeParse(word);
  if (path.success) return path.data;
  throw new SluiceError(
    'invalid_request',
    `${option}: ${JSON.stringify(word)} ${path.error.issues[0]?.message ?? 'is no path'}`,
    `say one such as ${option} /data`,
  );
}

/** netd knows the containers of this node by name. One that it does not know may be on its way: then it is its id. */
async function containerIdOf(word: string): Promise<string> {
  try {
    return await withDaemon('netd', async (client) => {
      const { endpoints } = (await client.request('GET', pathTo('/v1/endpoints', word))) as {
        endpoints: { containerId: string }[];
      };
      return endpoints[0]?.containerId ?? word;
    });
  } catch (error) {
    const isUnknown =
      error instanceof SluiceError && ['not_found', 'unknown_container', 'unreachable'].includes(error.code);
    if (isUnknown) return word;
    throw error;
  }
}

export interface UnmountFlags extends Changing, NamedFlags {
  readonly container?: string | undefined;
}

export function unmountFlags<T>(yargs: Argv<T>): Argv<T & { container: string | undefined }> {
  return yargs.option('container', { ...CONTAINER, demandOption: false }) as unknown as Argv<
    T & { container: string | undefined }
  >;
}

/** What storaged tells of a mount, as far as it is needed here. */
interface ToldMount {
  readonly id: string;
  readonly volume: string;
  readonly container: string;
  readonly directory: string | null;
}

export async function unmount(flags: UnmountFlags): Promise<void> {
  const { id, what } = await mountMeant(flags);
  const path = pathTo(MOUNTS, id);
  if (flags.dryRun) return wouldDo(flags.json, what, { method: 'DELETE', path });
  await withStoraged(async (client) => {
    await client.request('DELETE', path);
    show(flags.json, { unmounted: id }, () => 'unmounted');
  });
}

/** @throws SluiceError `invalid_request`, `not_found` */
async function mountMeant(flags: UnmountFlags): Promise<{ id: string; what: string }> {
  const { volume: word, container } = flags;
  if (MountId.safeParse(word).success) return { id: word, what: `unmount ${word}` };
  if (container === undefined)
    throw new SluiceError(
      'invalid_request',
      'it is not said from which container to unmount it',
      'say --container NAME, or the mount as `sluice volume show` has it: m0123456789ab',
    );
  const { volume } = await withServer(flags, (client) => findVolume(client, word, flags.tenant));
  const containerId = await containerIdOf(container);
  const mounts = await withStoraged(async (client) => {
    const told = (await client.request('GET', MOUNTS)) as { mounts: ToldMount[] };
    return told.mounts;
  });
  const [found, ...others] = mounts.filter(
    (one) => one.volume === volume.id && one.container === containerId,
  );
  if (found === undefined)
    throw new SluiceError(
      'not_found',
      `container ${container} has volume ${volume.name} not mounted on this node`,
      `sluice volume show ${volume.name} says who has it mounted`,
    );
  if (others.length > 0) throw severalMounts(container, volume.name, [found, ...others]);
  return { id: found.id, what: `unmount volume ${volume.name} from container ${container}` };
}

/** To end just one of them would leave the others without a word. */
function severalMounts(container: string, volume: string, all: readonly ToldMount[]): SluiceError {
  const places = all.map(({ id, directory }) => `${id} at ${directory ?? 'its place for the runtime'}`);
  return new SluiceError(
    'conflict',
    `container ${container} has volume ${volume} mounted more than once: ${places.join(', ')}`,
    `say which: ${all.map(({ id }) => `sluice volume unmount ${id}`).join(', ')}`,
  );
}
