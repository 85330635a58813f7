/**
 * What is done to a client and its mounts, each step written down before it is taken. Whoever calls it has the client for
 * himself meanwhile (`WatchedClients.oneByOne`).
 */
import { lastWords } from '../../linux/gluster-client.ts';
import { identify } from '../../linux/process.ts';
import { asSluiceError, SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { MountId, MountRequest } from '../../model/volume.ts';
import type { VolumeEvent } from '../../model/volume-report.ts';
import type { MountWish } from '../contract.ts';
import type { Settled } from './client.ts';
import type { Wanted } from './jobs.ts';
import type { KeptClient, KeptMount, MountRecords } from './records.ts';
import { FIRST_PAUSE_MS, type Watched, type WatchedClients } from './watched.ts';

export interface MountWorkOptions {
  readonly records: MountRecords;
  readonly clients: WatchedClients;
  readonly log: Log;
  readonly onEvent: ((event: VolumeEvent) => void) | undefined;
  /** A client has ended. */
  readonly ended: () => void;
}

/** Of a client's log, in an event; characters. */
const LAST_WORDS = 200;
/** Between attempts at a mount that stays dead: its container may have moved it away for good. */
const LONGEST_HEAL_PAUSE_MS = 60_000;

export class MountWork {
  readonly #options: MountWorkOptions;
  readonly #records: MountRecords;

  constructor(options: MountWorkOptions) {
    this.#options = options;
    this.#records = options.records;
  }

  async add(
    watched: Watched,
    id: MountId,
    request: MountRequest,
    { sizeBytes, ...wish }: MountWish,
  ): Promise<void> {
    const clientId = watched.client.id;
    const before = this.#records.mounts.get(id);
    const startedAt = request.into === null ? null : (identify(request.into.pid)?.startedAt ?? null);
    const kept: KeptMount = {
      ...{ client: clientId, request, startedAt, sizeBytes },
      phase: before?.phase === 'ready' ? 'ready' : 'adding',
      made: before?.made ?? 0,
    };
    const client = this.#records.clients.get(clientId) ?? newClient(wish);
    await this.#records.put({ client: [clientId, client], mount: [id, kept] });
    try {
      const made = await this.#carryOut(watched, { id, request, startedAt });
      await this.#records.put({ mount: [id, { ...kept, phase: 'ready', made: Math.max(kept.made, made) }] });
    } catch (error) {
      if (kept.phase === 'adding')
        await this.end(id).catch((left: unknown) => this.complain('a mount cannot be undone', id, left));
      throw error;
    }
  }

  /** @returns how many directories were made in the container */
  async #carryOut(watched: Watched, wanted: Wanted): Promise<number> {
    const { client } = watched;
    const { mounts } = client.isAlive()
      ? await client.settle([wanted], false)
      : await this.bring(watched, wanted);
    const result = mounts.get(wanted.id);
    if (result instanceof SluiceError) throw result;
    return result?.made ?? 0;
  }

  /**
   * Starts a client for all of its mounts; the first, or in the place of one that died.
   * @param fresh  a mount that is not confirmed yet
   */
  async bring(watched: Watched, fresh?: Wanted): Promise<Settled> {
    const { client } = watched;
    const kept = this.#records.clients.get(client.id);
    if (kept === undefined) return { mounts: new Map(), copies: [] };
    const others = this.wantedOf(client.id).filter(({ id }) => id !== fresh?.id);
    const said = others.length === 0 ? '' : lastWords(client.place);
    const all = fresh === undefined ? others : [...others, fresh];
    const settled = await client.bring(kept, this.#options.ended, all);
    watched.startedAt = performance.now();
    watched.unanswered = 0;
    this.#judge(watched, others, settled);
    if (others.length > 0) await this.#count(client.id, kept, said);
    return settled;
  }

  async #count(clientId: string, kept: KeptClient, said: string): Promise<void> {
    await this.#records.put({ client: [clientId, { ...kept, replaced: kept.replaced + 1 }] });
    const words = said === '' ? '' : `; it said last: ${said.slice(0, LAST_WORDS)}`;
    this.#tell(
      kept,
      'client-replaced',
      `the client of container ${kept.container} had died and was replaced${words}`,
    );
  }

  /** Mounts what is missing, and covers what is dead, while the client lives. */
  async heal(watched: Watched): Promise<void> {
    const { client } = watched;
    const wanted = this.wantedOf(client.id);
    if (!client.isAlive() || wanted.length === 0) {
      watched.healAt = Number.POSITIVE_INFINITY; // who replaces it does that, too
      return;
    }
    this.#judge(watched, wanted, await client.settle(wanted, true));
  }

  /** Asks the kernel, too: an errand that found somebody else's mount has failed without a word. */
  #judge(watched: Watched, wanted: readonly Wanted[], { mounts, copies }: Settled): void {
    const { client } = watched;
    const failed = [...mounts].filter(([, result]) => result instanceof SluiceError);
    // One that is not confirmed yet fails before the eyes of who asked for it.
    const lasting = failed.filter(([id]) => wanted.some((one) => one.id === id));
    const dead = new Set([...lasting.map(([id]) => id), ...client.deadAmong(wanted)]);
    const isWhole = dead.size === 0 && copies.length === 0;
    const wasWhole = watched.healAt === Number.POSITIVE_INFINITY;
    watched.dead = dead;
    if (isWhole) watched.healPauseMs = FIRST_PAUSE_MS;
    watched.healAt = isWhole ? Number.POSITIVE_INFINITY : performance.now() + watched.healPauseMs;
    if (!isWhole) watched.healPauseMs = Math.min(2 * watched.healPauseMs, LONGEST_HEAL_PAUSE_MS);
    if (isWhole === wasWhole) return;
    const kept = this.#records.clients.get(client.id);
    const why = [...lasting.map(([, result]) => result), ...copies].find((one) => one instanceof SluiceError);
    const reason = why ?? new SluiceError('storage_failed', 'it was not covered', 'it is tried again');
    if (!isWhole) this.complain('a mount is dead in its container', client.id, reason);
    if (kept === undefined) return;
    if (isWhole)
      this.#tell(kept, 'mount-alive', `what was dead in container ${kept.container} is alive again`);
    else
      this.#tell(
        kept,
        'mount-dead',
        `container ${kept.container} has a mount that stays dead, and is tried again: ${reason.message}`,
      );
  }

  #tell({ volume }: KeptClient, what: VolumeEvent['what'], text: string): void {
    this.#options.onEvent?.({ at: Date.now(), volume, what, text });
  }

  wantedOf(clientId: string): Wanted[] {
    return [...this.#records.mounts]
      .filter(([, { client, phase }]) => client === clientId && phase === 'ready')
      .map(([id, { request, startedAt }]) => ({ id, request, startedAt }));
  }

  /** Takes a mount off, with its client, if it was its last one. */
  async end(id: MountId): Promise<void> {
    const kept = this.#records.mounts.get(id);
    if (kept === undefined) return;
    await this.#records.put({ mount: [id, { ...kept, phase: 'ending' }] });
    const { client } = this.#options.clients.of(kept.client, kept.request.volume);
    await client.detach(id, kept);
    const isLast = ![...this.#records.mounts].some(
      ([one, { client: of }]) => one !== id && of === kept.client,
    );
    if (isLast) await client.end();
    await this.#records.remove(id);
  }

  /** What was begun and not confirmed, and what is to go. */
  async endUnwanted(clientId: string): Promise<void> {
    for (const [id, { client, phase }] of [...this.#records.mounts])
      if (client === clientId && phase !== 'ready') await this.end(id);
  }

  complain(what: string, which: string, error: unknown): void {
    this.#options.log.error({ which, reason: asSluiceError(error).message }, what);
  }
}

function newClient({
  volume,
  container,
  tenant,
  effective,
}: Pick<MountWish, 'volume' | 'container' | 'tenant' | 'effective'>): KeptClient {
  return { volume, container, tenant, limits: effective, replaced: 0 };
}
