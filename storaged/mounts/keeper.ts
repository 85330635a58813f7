/**
 * Mounts of shared volumes on this node: one Gluster client for each container and volume, watched, and replaced in
 * place when it dies (docs/mounts.md). A request is recorded, carried out, confirmed. After a restart what was begun is
 * undone, and what was confirmed is made whole; whatever is not on record goes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { namesIn } from '../../linux/directories.ts';
import {
  boundLog,
  endClient,
  findClients,
  type LiveClient,
  lastWords,
  removeClientFiles,
} from '../../linux/gluster-client.ts';
import { ensurePrivateDirectory, removePoint } from '../../linux/host-points.ts';
import type { ErrandResult } from '../../linux/volume-errands.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { LimitField, Limits } from '../../model/limits.ts';
import type { Log } from '../../model/log.ts';
import { type MountId, MountRequest } from '../../model/volume.ts';
import type { MountStatistics, VolumeEvent } from '../../model/volume-report.ts';
import type { Store } from '../../store/contract.ts';
import type { Mount, MountKeeper, MountWish } from '../contract.ts';
import { type ClientSetup, VolumeClient, type Wanted } from './client.ts';
import { saysItHangs, saysItIsCut } from './control.ts';
import { differing } from './limits-text.ts';
import { clientIdOf, clientPlace, hostPathOf, isClientId, mountIdOf, SOURCE_PREFIX } from './names.ts';
import { type KeptClient, type KeptMount, type MountRecords, openMountRecords } from './records.ts';
import { checkMountDirectory } from './system-directories.ts';

export interface MountKeeperOptions extends Omit<ClientSetup, 'timeoutSeconds'> {
  readonly store: Store;
  readonly log: Log;
  readonly onEvent?: (event: VolumeEvent) => void;
  /** How long the kernel believes attributes and names of a volume, in seconds; default 1. */
  readonly timeoutSeconds?: number;
}

/** How often dead clients are looked for that are not our children. */
const LOOK_EVERY_MS = 200;
/** How often clients are asked whether they still answer, logs are bounded, and what could not be ended is tried again. */
const TEND_EVERY_MS = 5_000;
/** One that has not answered so often, one after the other, is replaced. */
const HANGS_AFTER = 2;
/** Between attempts at a client that does not come up, or dies again and again. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** One that has lived so long dies for a new reason. */
const STEADY_MS = 10_000;
/** Of a client's log, in an event; characters. */
const LAST_WORDS = 200;
/** So many that die younger, one after the other, are replaced at once. */
const PATIENCE = 10;

/** A client with what concerns only this process. */
interface Watched {
  readonly client: VolumeClient;
  /** Whatever changes it happens one after the other. */
  tail: Promise<unknown>;
  pauseMs: number;
  /** Clients that died young, one after the other. */
  diedYoung: number;
  startedAt: number;
  /** performance.now */
  nextTryAt: number;
  unanswered: number;
}

/** @throws SluiceError `store_failed` */
export async function openMountKeeper(options: MountKeeperOptions): Promise<MountKeeper> {
  ensurePrivateDirectory(options.places.hostDir);
  const keeper = new Keeper(options, await openMountRecords(options.store));
  await keeper.recover();
  keeper.watch();
  return keeper;
}

class Keeper implements MountKeeper {
  readonly #options: MountKeeperOptions;
  readonly #setup: ClientSetup;
  readonly #records: MountRecords;
  readonly #clients = new Map<string, Watched>();
  readonly #closing = new AbortController();
  #wake: () => void = () => undefined;
  #watching: Promise<void> = Promise.resolve();
  #tendedAt = performance.now();

  constructor(options: MountKeeperOptions, records: MountRecords) {
    const { places, gluster, servers, parents, timeoutSeconds = 1 } = options;
    this.#options = options;
    this.#setup = { places, gluster, servers, parents, timeoutSeconds };
    this.#records = records;
  }

  async mount(wish: MountWish): Promise<Mount> {
    const request = MountRequest.parse(requestOf(wish));
    if (request.into !== null) checkMountDirectory(request.into.directory);
    const id = mountIdOf(this.#setup.places, request);
    this.#checkFree(id, request);
    const clientId = clientIdOf(this.#setup.places, request);
    return this.#oneByOne(this.#watched(clientId, request.volume), async () => {
      const before = this.#records.mounts.get(id);
      const kept: KeptMount = {
        ...{ client: clientId, request, sizeBytes: wish.sizeBytes },
        phase: before?.phase === 'ready' ? 'ready' : 'adding',
        made: before?.made ?? 0,
      };
      const client = this.#records.clients.get(clientId) ?? newClient(wish);
      await this.#records.put({ client: [clientId, client], mount: [id, kept] });
      try {
        const made = await this.#carryOut(clientId, { id, request });
        await this.#records.put({
          mount: [id, { ...kept, phase: 'ready', made: Math.max(kept.made, made) }],
        });
      } catch (error) {
        if (kept.phase === 'adding')
          await this.#end(id).catch((left: unknown) => this.#complain('a mount cannot be undone', id, left));
        throw error;
      }
      return this.#shown(id);
    });
  }

  /** Two mounts at one place would hide each other. */
  #checkFree(id: MountId, { container, into }: MountRequest): void {
    if (into === null) return;
    const other = [...this.#records.mounts].find(
      ([one, { request }]) =>
        one !== id && request.container === container && request.into?.directory === into.directory,
    );
    if (other === undefined) return;
    throw new SluiceError(
      'conflict',
      `the container has something else mounted at ${into.directory}: mount ${other[0]}`,
      'unmount that first, or name another directory',
    );
  }

  /** @returns how many directories were made in the container */
  async #carryOut(clientId: string, wanted: Wanted): Promise<number> {
    const watched = this.#watched(clientId, wanted.request.volume);
    const { client } = watched;
    const results = client.isAlive()
      ? await client.settle([wanted], false)
      : await this.#bring(watched, wanted);
    const result = results.get(wanted.id);
    if (result instanceof SluiceError) throw result;
    return result?.made ?? 0;
  }

  /**
   * Starts a client for all of its mounts; the first, or in the place of one that died.
   * @param fresh  a mount that is not confirmed yet
   */
  async #bring(watched: Watched, fresh?: Wanted): Promise<ReadonlyMap<MountId, ErrandResult>> {
    const { client } = watched;
    const kept = this.#records.clients.get(client.id);
    if (kept === undefined) return new Map();
    const others = this.#wantedOf(client.id).filter(({ id }) => id !== fresh?.id);
    const said = others.length === 0 ? '' : lastWords(client.place);
    const all = fresh === undefined ? others : [...others, fresh];
    const results = await client.bring(kept, () => this.#wake(), all);
    watched.startedAt = performance.now();
    watched.unanswered = 0;
    if (others.length > 0) await this.#count(client.id, kept, said);
    return results;
  }

  async #count(clientId: string, kept: KeptClient, said: string): Promise<void> {
    await this.#records.put({ client: [clientId, { ...kept, replaced: kept.replaced + 1 }] });
    const words = said === '' ? '' : `; it said last: ${said.slice(0, LAST_WORDS)}`;
    this.#options.onEvent?.({
      ...{ at: Date.now(), volume: kept.volume, what: 'client-replaced' },
      text: `the client of container ${kept.container} had died and was replaced${words}`,
    });
  }

  #wantedOf(clientId: string): Wanted[] {
    return [...this.#records.mounts]
      .filter(([, { client, phase }]) => client === clientId && phase === 'ready')
      .map(([id, { request }]) => ({ id, request }));
  }

  async unmount(id: MountId): Promise<void> {
    const kept = this.#records.mounts.get(id);
    if (kept === undefined) return;
    await this.#oneByOne(this.#watched(kept.client, kept.request.volume), () => this.#end(id));
  }

  async #end(id: MountId): Promise<void> {
    const kept = this.#records.mounts.get(id);
    if (kept === undefined) return;
    await this.#records.put({ mount: [id, { ...kept, phase: 'ending' }] });
    const { client } = this.#watched(kept.client, kept.request.volume);
    await client.detach(id, kept);
    const isLast = ![...this.#records.mounts].some(
      ([one, { client: of }]) => one !== id && of === kept.client,
    );
    if (isLast) await client.end();
    await this.#records.remove(id);
  }

  mounts(): readonly Mount[] {
    return [...this.#records.mounts.keys()].map((id) => this.#shown(id));
  }

  #shown(id: MountId): Mount {
    const kept = this.#records.mounts.get(id);
    const client = kept && this.#records.clients.get(kept.client);
    if (kept === undefined || client === undefined) throw noMount(id);
    const isServed = kept.phase === 'ready' && this.#clients.get(kept.client)?.client.isAlive() === true;
    return {
      ...kept.request,
      ...{ id, tenant: client.tenant, sizeBytes: kept.sizeBytes, effective: client.limits },
      hostPath: hostPathOf(this.#setup.places, id),
      state: isServed ? 'mounted' : 'broken',
      replaced: client.replaced,
    };
  }

  async setLimits(
    id: MountId,
    limits: Limits,
  ): Promise<readonly { readonly field: LimitField; readonly why: string }[]> {
    const { watched, kept } = this.#known(id);
    return this.#oneByOne(watched, async () => {
      const client = this.#records.clients.get(kept.client);
      if (client === undefined) throw noMount(id);
      await this.#records.put({ client: [kept.client, { ...client, limits }] });
      if (this.#setup.parents === undefined) return unheld(limits);
      await watched.client.setLimits(limits);
      const held = (await watched.client.statistics()).limits;
      const why = 'the client was told and holds another value';
      return differing(limits, held).map((field) => ({ field, why }));
    });
  }

  async statistics(id: MountId): Promise<MountStatistics> {
    const { watched } = this.#known(id);
    if (!watched.client.isAlive())
      throw new SluiceError('storage_failed', 'the client is dead', 'it is being replaced; try again');
    return watched.client.statistics();
  }

  #known(id: MountId): { readonly watched: Watched; readonly kept: KeptMount } {
    const kept = this.#records.mounts.get(id);
    const watched = kept && this.#clients.get(kept.client);
    if (kept === undefined || watched === undefined) throw noMount(id);
    return { watched, kept };
  }

  async keepOnly(isAlive: (mount: Mount) => boolean): Promise<void> {
    const ended = this.mounts().filter((mount) => !isAlive(mount));
    await Promise.all(
      ended.map((mount) =>
        this.unmount(mount.id).catch((error: unknown) =>
          this.#complain('a mount cannot be ended', mount.id, error),
        ),
      ),
    );
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#watching;
    await Promise.allSettled([...this.#clients.values()].map(({ tail }) => tail));
  }

  /** After a start: adopts what lives, undoes what was begun, and takes away what nobody knows of. */
  async recover(): Promise<void> {
    const { places } = this.#setup;
    const found = findClients((source) => source.startsWith(SOURCE_PREFIX));
    for (const [id, { volume }] of this.#records.clients) {
      const { client } = this.#watched(id, volume);
      const live = found.get(client.place.source);
      if (live !== undefined) client.adopt(live);
      found.delete(client.place.source);
    }
    await Promise.all([...found.values()].map((live) => this.#endStray(live)));
    for (const name of namesIn(places.clientDir).filter(isClientId))
      if (!this.#records.clients.has(name)) removeClientFiles(clientPlace(places, name));
    const points = new Set<string>([...this.#records.clients.keys(), ...this.#records.mounts.keys()]);
    for (const name of namesIn(places.hostDir))
      if (!points.has(name)) removePoint(`${places.hostDir}/${name}`);
    await Promise.all([...this.#clients.values()].map((watched) => this.#makeWhole(watched)));
  }

  /** Ours by its place, and on no record: whoever asked for it has heard nothing. */
  async #endStray({ id, errands }: LiveClient): Promise<void> {
    if (errands.root.startsWith(`${this.#setup.places.clientDir}/`)) await endClient(id);
  }

  async #makeWhole(watched: Watched): Promise<void> {
    const { client } = watched;
    await this.#oneByOne(watched, async () => {
      await this.#endUnwanted(client.id);
      const wanted = this.#wantedOf(client.id);
      if (client.isAlive() && wanted.length > 0) await client.settle(wanted, true);
    }).catch((error: unknown) => this.#complain('a volume could not be taken over', client.id, error));
  }

  async #endUnwanted(clientId: string): Promise<void> {
    for (const [id, { client, phase }] of [...this.#records.mounts])
      if (client === clientId && phase !== 'ready') await this.#end(id);
  }

  watch(): void {
    this.#watching = this.#watch();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      for (const watched of this.#clients.values()) if (this.#isDue(watched)) this.#replaceSoon(watched);
      if (performance.now() - this.#tendedAt > TEND_EVERY_MS) this.#tend();
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await Promise.race([woken, sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)]);
    }
  }

  #isDue({ client, nextTryAt }: Watched): boolean {
    if (client.isAlive() || performance.now() < nextTryAt) return false;
    return this.#wantedOf(client.id).length > 0;
  }

  #replaceSoon(watched: Watched): void {
    const { client } = watched;
    // Not again before this attempt is over.
    watched.nextTryAt = Number.POSITIVE_INFINITY;
    const found = performance.now();
    watched.diedYoung = found - watched.startedAt > STEADY_MS ? 0 : watched.diedYoung + 1;
    void this.#oneByOne(watched, async () => {
      if (client.isAlive() || this.#closing.signal.aborted) return;
      await this.#replace(watched);
      const ms = Math.round(performance.now() - found);
      this.#options.log.warn(
        { client: client.id, volume: client.volume, ms },
        'a dead Gluster client was replaced',
      );
    }).then(
      () => {
        if (watched.diedYoung < PATIENCE) watched.pauseMs = 0;
        this.#rest(watched);
      },
      (error: unknown) => {
        this.#complain('a Gluster client is dead and could not be replaced', client.id, error);
        this.#rest(watched);
      },
    );
  }

  #rest(watched: Watched): void {
    watched.nextTryAt = performance.now() + watched.pauseMs;
    watched.pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, 2 * watched.pauseMs), LONGEST_PAUSE_MS);
    this.#wake();
  }

  async #replace(watched: Watched): Promise<void> {
    for (const [id, result] of await this.#bring(watched))
      if (result instanceof SluiceError) this.#complain('a mount is dead in its container', id, result);
  }

  /** Without waiting for what hangs. */
  #tend(): void {
    this.#tendedAt = performance.now();
    for (const watched of this.#clients.values()) {
      boundLog(watched.client.place);
      // In its turn: one that is being started has nothing mounted yet.
      if (this.#setup.parents !== undefined) void this.#oneByOne(watched, () => this.#ask(watched));
      const isOver = [...this.#records.mounts.values()].some(
        ({ client, phase }) => client === watched.client.id && phase === 'ending',
      );
      if (isOver)
        void this.#oneByOne(watched, () => this.#endUnwanted(watched.client.id)).catch((error: unknown) =>
          this.#complain('a mount cannot be ended', watched.client.id, error),
        );
    }
  }

  /** A client that lives and serves nobody is of no use; it answers this by itself, whatever its bricks do. */
  async #ask(watched: Watched): Promise<void> {
    const { client } = watched;
    if (!client.isAlive()) return;
    try {
      await client.statistics();
      watched.unanswered = 0;
    } catch (error) {
      if (saysItHangs(error)) watched.unanswered++;
      if (!saysItIsCut(error) && watched.unanswered < HANGS_AFTER) return;
      this.#complain('a Gluster client does not answer: it is replaced', client.id, error);
      client.kill();
    }
  }

  #watched(id: string, volume: Wanted['request']['volume']): Watched {
    const present = this.#clients.get(id);
    if (present !== undefined) return present;
    const fresh: Watched = {
      client: new VolumeClient(id, volume, this.#setup),
      tail: Promise.resolve(),
      ...{ pauseMs: FIRST_PAUSE_MS, diedYoung: 0, startedAt: 0, nextTryAt: 0, unanswered: 0 },
    };
    this.#clients.set(id, fresh);
    return fresh;
  }

  #oneByOne<T>(watched: Watched, task: () => Promise<T>): Promise<T> {
    const run = watched.tail.then(task);
    const tail: Promise<void> = run.then(
      () => this.#forgetIfIdle(watched, tail),
      () => this.#forgetIfIdle(watched, tail),
    );
    watched.tail = tail;
    return run;
  }

  /** One that has nothing mounted and that nobody waits for. */
  #forgetIfIdle({ client, tail }: Watched, own: Promise<unknown>): void {
    if (tail === own && !this.#records.clients.has(client.id)) this.#clients.delete(client.id);
  }

  #complain(what: string, which: string, error: unknown): void {
    this.#options.log.error({ which, reason: asSluiceError(error).message }, what);
  }
}

function requestOf(wish: MountWish): MountRequest {
  const { volume, container, subDirectory, readOnly, limits, into } = wish;
  return { volume, container, subDirectory, readOnly, limits, into };
}

function newClient({ volume, container, tenant, effective }: MountWish): KeptClient {
  return { volume, container, tenant, limits: effective, replaced: 0 };
}

function noMount(id: MountId): SluiceError {
  return new SluiceError(
    'not_found',
    `there is no mount ${id}`,
    'sluice volume show lists a volume with its mounts',
  );
}

function unheld(limits: Limits): { readonly field: LimitField; readonly why: string }[] {
  const why = 'this node runs its Gluster clients without the translator that holds limits';
  return differing(limits, {}).map((field) => ({ field, why }));
}
