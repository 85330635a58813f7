/** One Gluster client: a container's of one volume, with all the places where its file system is mounted. */
import { namespaceInode } from '../../linux/directories.ts';
import {
  type ClientPlace,
  endClient,
  killClient,
  type LiveClient,
  lastWords,
  removeClientFiles,
  startClient,
} from '../../linux/gluster-client.ts';
import { ensureSharedPoint, layersAt, removePoint, uncover } from '../../linux/host-points.ts';
import { mountNamespaces, mountsOf } from '../../linux/mount-table.ts';
import { isAlive } from '../../linux/process.ts';
import {
  type ErrandResult,
  runVolumeErrands,
  type VolumeErrand,
  type VolumePart,
} from '../../linux/volume-errands.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { Limits } from '../../model/limits.ts';
import { glusterName, type MountId, type MountRequest, type VolumeId } from '../../model/volume.ts';
import type { MountStatistics } from '../../model/volume-report.ts';
import type { GlusterDaemon } from '../contract.ts';
import { readStatistics, statisticsAttribute, translatorOptions, writeLimits } from './control.ts';
import { findDeadCopies } from './copies.ts';
import { clientPlace, controlPath, hostPathOf, type MountPlaces } from './names.ts';
import type { KeptClient, KeptMount } from './records.ts';

/** What clients are started with. */
export interface ClientSetup {
  readonly places: MountPlaces;
  /** Fulfilled when glusterd runs. */
  readonly gluster: () => Promise<Pick<GlusterDaemon, 'address' | 'inside'>>;
  /** Where clients learn of a volume, the first that answers; undefined, or none: of this node's own glusterd. */
  readonly servers: ((volume: VolumeId) => readonly string[]) | undefined;
  /** Files of the buckets a client shares with others; undefined: clients have no translator. */
  readonly parents: ((of: ClientOwner) => readonly string[]) | undefined;
  /** How long the kernel believes attributes and names. */
  readonly timeoutSeconds: number;
}

/** Whose a client is. */
export type ClientOwner = Pick<KeptClient, 'volume' | 'tenant'>;

/** A process that asks the volume, or walks a container's directories: milliseconds, unless somebody holds it up. */
const ERRAND_MS = 3_000;
/** How often it is started anew when it has come up without its translator. */
const STARTS = 4;
/** So many dead ones lie below the live one at most. */
const DEEPEST = 8;

export class VolumeClient {
  readonly id: string;
  readonly volume: VolumeId;
  readonly place: ClientPlace;
  readonly #setup: ClientSetup;
  /** Where the whole volume is mounted for us alone. */
  readonly #control: string;
  #live: LiveClient | undefined;

  constructor(id: string, volume: VolumeId, setup: ClientSetup) {
    this.id = id;
    this.volume = volume;
    this.#setup = setup;
    this.place = clientPlace(setup.places, id);
    this.#control = controlPath(setup.places, id);
  }

  get live(): LiveClient | undefined {
    return this.#live;
  }

  isAlive(): boolean {
    return this.#live !== undefined && isAlive(this.#live.id);
  }

  /** One that was found running. */
  adopt(live: LiveClient): void {
    this.#live = live;
  }

  /**
   * Starts it and mounts it where it is wanted, and wherever else a predecessor is mounted.
   * @param kept   what it begins with
   * @param ended  called when it has ended, however
   * @returns as `settle` does
   * @throws SluiceError `storage_failed`; then it does not run
   */
  async bring(
    kept: KeptClient,
    ended: () => void,
    wanted: readonly Wanted[],
  ): Promise<ReadonlyMap<MountId, ErrandResult>> {
    for (let left = STARTS; ; left--) {
      await this.#start(kept, ended);
      try {
        return await this.settle(wanted, true);
      } catch (error) {
        this.kill();
        // It has asked for the volume's description at the moment in which that was being written.
        if (left === 1 || asSluiceError(error).code !== 'try_again') throw error;
      }
    }
  }

  async #start(kept: KeptClient, ended: () => void): Promise<void> {
    const { gluster, servers, parents, timeoutSeconds } = this.#setup;
    const { address, inside } = await gluster();
    const told = servers?.(this.volume) ?? [];
    const options = {
      servers: told.length === 0 ? [address] : told,
      volume: glusterName(this.volume),
      translatorOptions:
        parents === undefined ? [] : translatorOptions(this.place, kept.limits, parents(kept)),
      timeoutSeconds,
    };
    const { live, exited } = await startClient(this.place, options, inside);
    this.#live = live;
    void exited.then(ended);
  }

  /**
   * Mounts its file system where it is wanted, over what predecessors have left. What is there already stays; may be
   * repeated.
   * @param heal  also wherever else a predecessor's is mounted
   * @returns for each mount how many directories had to be made in its container, or why it failed
   * @throws SluiceError `storage_failed` when the volume does not answer: then nothing was mounted
   */
  async settle(wanted: readonly Wanted[], heal: boolean): Promise<ReadonlyMap<MountId, ErrandResult>> {
    const live = this.#live;
    if (live === undefined) throw noClient();
    const dead = this.#deadDevices(live);
    const attribute = this.#setup.parents === undefined ? null : statisticsAttribute(this.place);
    const jobs: Job[] = [{ errand: { do: 'ask', attribute } }, ...this.#controlJobs(live)];
    for (const one of wanted)
      jobs.push(...this.#hostJobs(live, one), ...this.#containerJobs(live, dead, one));
    if (heal && dead.size > 0) jobs.push(...(await this.#copyJobs(dead)));
    const results = await runVolumeErrands(
      live.errands,
      jobs.map(({ errand }) => errand),
      ERRAND_MS,
    );
    const [asked] = results;
    if (asked instanceof SluiceError) throw asked.code === 'not_found' ? endedAtOnce(this.place) : asked;
    return byMount(wanted, jobs, results);
  }

  #controlJobs({ device }: LiveClient): Job[] {
    const top = layersAt(this.#control).at(-1);
    if (top?.device === device) return [];
    ensureSharedPoint(this.#control);
    const part = { directory: null, make: false, readOnly: false };
    return [{ errand: { do: 'place', point: this.#control, part } }];
  }

  #hostJobs({ device }: LiveClient, { id, request }: Wanted): Job[] {
    const point = hostPathOf(this.#setup.places, id);
    ensureSharedPoint(point);
    const layers = layersAt(point).filter(({ source }) => source === this.place.source);
    if (layers.at(-1)?.device === device) return [];
    // Whoever has bound one of those that go now gets the live one as a copy.
    for (let depth = layers.length; depth >= DEEPEST; depth--) uncover(point);
    return [{ mount: id, errand: { do: 'place', point, part: partOf(request) } }];
  }

  #containerJobs({ device }: LiveClient, dead: ReadonlySet<string>, { id, request }: Wanted): Job[] {
    const { into } = request;
    if (into === null) return [];
    const there = { pid: into.pid, inode: namespaceInode(`/proc/${into.pid}/ns/mnt`) ?? 0 };
    if (there.inode === 0) throw gone(into.pid);
    if (there.inode === namespaceInode('/proc/self/ns/mnt')) throw ownNamespace(into.pid);
    const { source } = this.place;
    const { directory } = into;
    const top = mountsOf(into.pid).findLast(({ point }) => point === directory);
    const isOurs = top?.source === source;
    if (isOurs && top.device === device) return [];
    const over = isOurs && dead.has(top.device) ? top.device : null;
    const jobs: Job[] = [];
    if (isOurs && over === null)
      jobs.push({ mount: id, errand: { do: 'remove', there, directory, source, removeDirectories: 0 } });
    const where = { there, directory, make: true, over, source };
    jobs.push({ mount: id, errand: { do: 'attach', part: partOf(request), ...where } });
    return jobs;
  }

  /** Containers that the runtime has given it privately, and those that we have mounted it in ourselves. */
  async #copyJobs(dead: ReadonlySet<string>): Promise<Job[]> {
    const { hostDir, clientDir } = this.#setup.places;
    const { source } = this.place;
    const namespaces = (await mountNamespaces()).map(({ pid, inode }) => ({
      pid,
      inode,
      mounts: mountsOf(pid),
    }));
    return findDeadCopies(namespaces, source, dead, [hostDir, clientDir]).map((copy) => {
      const { pid, inode, point, device, readOnly, directory } = copy;
      const part = { directory, make: true, readOnly };
      const where = { there: { pid, inode }, directory: point, make: false, over: device, source };
      return { errand: { do: 'attach', part, ...where } };
    });
  }

  /** Devices of its predecessors that mounts of our own hold: no other file system can have their numbers. */
  #deadDevices({ device }: LiveClient): Set<string> {
    const own = mountsOf('self').filter((one) => one.source === this.place.source && one.device !== device);
    return new Set(own.map((one) => one.device));
  }

  /** Takes one mount off. May be repeated. @throws SluiceError */
  detach(id: MountId, kept: Pick<KeptMount, 'made' | 'request'>): Promise<void> {
    return detachMount(this.#setup.places, this.place.source, id, kept);
  }

  /** Ends it, with everything that is its own. May be repeated. */
  async end(): Promise<void> {
    removePoint(this.#control);
    if (this.#live !== undefined) await endClient(this.#live.id);
    this.#live = undefined;
    removeClientFiles(this.place);
  }

  /** One that hangs, or that nobody can use: who waits for it gets an error, and it is replaced like one that died. */
  kill(): void {
    if (this.#live !== undefined) killClient(this.#live.id);
  }

  statistics(): Promise<MountStatistics> {
    return readStatistics(this.place, this.#control);
  }

  setLimits(limits: Limits): Promise<void> {
    return writeLimits(this.place, this.#control, limits);
  }
}

/** Takes one mount off, in its container, too, whether its client lives or not. May be repeated. @throws SluiceError */
export async function detachMount(
  places: MountPlaces,
  source: string,
  id: MountId,
  { request: { into }, made }: Pick<KeptMount, 'made' | 'request'>,
): Promise<void> {
  const inode = into === null ? undefined : namespaceInode(`/proc/${into.pid}/ns/mnt`);
  if (into !== null && inode !== undefined && inode !== namespaceInode('/proc/self/ns/mnt')) {
    const where = { there: { pid: into.pid, inode }, directory: into.directory, source };
    const [result] = await runVolumeErrands(
      null,
      [{ do: 'remove', ...where, removeDirectories: made }],
      ERRAND_MS,
    );
    // A container that has ended takes its mounts with it; one that has moved the directory away keeps a mount that dies
    // with the client.
    if (result instanceof SluiceError && !['not_found', 'refused'].includes(result.code)) throw result;
  }
  removePoint(hostPathOf(places, id));
}

/** One mount as it is to be. */
export interface Wanted {
  readonly id: MountId;
  readonly request: MountRequest;
}

interface Job {
  /** Whose it is; undefined: nobody's alone. */
  readonly mount?: MountId;
  readonly errand: VolumeErrand;
}

function partOf({ subDirectory, readOnly }: MountRequest): VolumePart {
  return { directory: subDirectory, make: true, readOnly };
}

function byMount(
  wanted: readonly Wanted[],
  jobs: readonly Job[],
  results: readonly ErrandResult[],
): ReadonlyMap<MountId, ErrandResult> {
  const found = new Map<MountId, ErrandResult>(wanted.map(({ id }) => [id, { made: 0 }]));
  for (const [index, { mount }] of jobs.entries()) {
    const result = results[index];
    const before = mount && found.get(mount);
    if (mount === undefined || result === undefined || before instanceof SluiceError) continue;
    if (result instanceof SluiceError || result.made > 0) found.set(mount, result);
  }
  return found;
}

function noClient(): SluiceError {
  return new SluiceError('storage_failed', 'the volume has no client', 'it is being started; try again');
}

/** It was refused, or found no server: it may have mounted nevertheless, for a moment. */
function endedAtOnce(place: ClientPlace): SluiceError {
  const words = lastWords(place);
  return new SluiceError(
    'storage_failed',
    `the volume's client has ended${words === '' ? '' : `: ${words}`}`,
    'sluice volume show says how its bricks are',
  );
}

function gone(pid: number): SluiceError {
  return new SluiceError('not_found', `there is no process ${pid}`, 'name a process of the container');
}

function ownNamespace(pid: number): SluiceError {
  return new SluiceError(
    'refused',
    `process ${pid} has no mounts of its own: they are the machine's`,
    'name a process that runs inside the container',
  );
}
