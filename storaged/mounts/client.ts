/** One Gluster client: a container's of one volume, with all the places where its file system is mounted. */
import {
  type ClientPlace,
  endClient,
  killClient,
  type LiveClient,
  lastWords,
  removeClientFiles,
  startClient,
} from '../../linux/gluster-client.ts';
import { removePoint } from '../../linux/host-points.ts';
import { isAlive } from '../../linux/process.ts';
import {
  type ErrandResult,
  type ErrandRunner,
  runVolumeErrands,
  startVolumeErrands,
} from '../../linux/volume-errands.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { Limits } from '../../model/limits.ts';
import { glusterName, type MountId, type VolumeId } from '../../model/volume.ts';
import type { MountStatistics } from '../../model/volume-report.ts';
import type { GlusterDaemon } from '../contract.ts';
import { readStatistics, statisticsAttribute, translatorOptions, writeLimits } from './control.ts';
import { containerOf, deadCopies, isDead, type Job, jobsFor, type Serving, type Wanted } from './jobs.ts';
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

/** How mounting went. */
export interface Settled {
  /** For each mount how many directories had to be made in its container, or why it failed. */
  readonly mounts: ReadonlyMap<MountId, ErrandResult>;
  /** Why mounts of a predecessor are dead still, in containers that have bound it by themselves. */
  readonly copies: readonly SluiceError[];
}
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
   * @throws SluiceError `storage_failed`; then it does not run
   */
  async bring(kept: KeptClient, ended: () => void, wanted: readonly Wanted[]): Promise<Settled> {
    for (let left = STARTS; ; left--) {
      // It takes as long to start as the client does.
      const runner = startVolumeErrands();
      try {
        await this.#start(kept, ended);
        return await this.settle(wanted, true, runner);
      } catch (error) {
        this.kill();
        // It has asked for the volume's description at the moment in which that was being written.
        if (left === 1 || asSluiceError(error).code !== 'try_again') throw error;
      } finally {
        runner.release();
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
   * @param heal    also wherever else a predecessor's is mounted
   * @param runner  the program that does it, if it is started already
   * @throws SluiceError `storage_failed` when the volume does not answer: then nothing was mounted
   */
  async settle(wanted: readonly Wanted[], heal: boolean, runner?: ErrandRunner): Promise<Settled> {
    const { place } = this;
    const serving = this.#serving();
    if (serving === undefined) throw noClient();
    const attribute = this.#setup.parents === undefined ? null : statisticsAttribute(place);
    const { jobs: rest, refused } = await jobsFor(serving, wanted, heal);
    const jobs: Job[] = [{ errand: { do: 'ask', attribute } }, ...rest];
    const errands = jobs.map(({ errand }) => errand);
    const results = await (runner ?? startVolumeErrands()).run(serving.live.errands, errands, ERRAND_MS);
    const [asked] = results;
    if (asked instanceof SluiceError) throw asked.code === 'not_found' ? endedAtOnce(place) : asked;
    const mounts = new Map([...byMount(wanted, jobs, results), ...refused]);
    return { mounts, copies: heal ? await this.#leftDead(serving, jobs, results) : [] };
  }

  /** Asks the kernel: a container may have come in between, or what told of it may have ended. */
  async #leftDead(
    serving: Serving,
    jobs: readonly Job[],
    results: readonly ErrandResult[],
  ): Promise<SluiceError[]> {
    const dead = await deadCopies(serving);
    if (dead.length === 0) return [];
    const failed = results.flatMap((one, index) =>
      one instanceof SluiceError && jobs[index]?.mount === undefined ? [one] : [],
    );
    if (failed.length > 0) return failed;
    return [new SluiceError('storage_failed', `${dead.join(', ')} is dead still`, 'it is tried again')];
  }

  #serving(): Serving | undefined {
    const live = this.#live;
    return live && { places: this.#setup.places, place: this.place, control: this.#control, live };
  }

  /** Those of the mounts that are still a predecessor's, whatever was said of them. */
  deadAmong(wanted: readonly Wanted[]): MountId[] {
    const serving = this.#serving();
    if (serving === undefined) return wanted.map(({ id }) => id);
    return wanted.filter((one) => isDead(serving, one)).map(({ id }) => id);
  }

  /** Takes one mount off. May be repeated. @throws SluiceError */
  detach(id: MountId, kept: Pick<KeptMount, 'made' | 'request' | 'startedAt'>): Promise<void> {
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
  { request: { into }, startedAt, made }: Pick<KeptMount, 'made' | 'request' | 'startedAt'>,
): Promise<void> {
  const there = into === null ? undefined : containerIfThere(into.pid, startedAt);
  if (into !== null && there !== undefined) {
    const where = { there, directory: into.directory, source };
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

/** @returns undefined for a process that is gone, or has the machine's own mounts */
function containerIfThere(pid: number, startedAt: number | null): ReturnType<typeof containerOf> | undefined {
  try {
    return containerOf(pid, startedAt);
  } catch (error) {
    if (['not_found', 'refused'].includes(asSluiceError(error).code)) return undefined;
    throw error;
  }
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
