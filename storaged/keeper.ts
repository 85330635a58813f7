/** Brings what this node has of volumes to what is wanted, round by round, and remembers what came of it for the reports. */
import type { Ipv4 } from '../model/addresses.ts';
import type { NodeView } from '../model/cluster-changes.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { NodeName } from '../model/names.ts';
import type { Volume, VolumeId } from '../model/volume.ts';
import type { BrickReport, VolumeReport } from '../model/volume-report.ts';
import { applyActions, type Checkpoint } from './apply.ts';
import type { GlusterVolume } from './contract.ts';
import { Failures, SHORTEST_PAUSE_MS } from './failures.ts';
import { type Observed, observeStorage } from './observe.ts';
import type { StorageParts } from './parts.ts';
import {
  type Action,
  concerns,
  type GlusterOptions,
  isAsWanted,
  isElsewhere,
  isMoving,
  planVolumes,
  strayBricks,
  wantedBrick,
} from './plan.ts';

export interface KeeperWorld {
  readonly node: NodeName;
  readonly parts: StorageParts;
  /** undefined: nothing is known yet. */
  view(): Pick<NodeView, 'revision' | 'volumes' | 'nodes'> | undefined;
  /** What other nodes have told the server of the bricks of a volume. @throws SluiceError `unreachable` */
  told(volume: Volume): Promise<readonly (BrickReport | undefined)[]>;
  optionsOf(volume: Volume, address: Ipv4 | undefined): GlusterOptions;
  /** There is something to report. */
  news(): void;
  /** Of a clock that only goes forward, in ms. */
  now(): number;
  readonly checkpoint: Checkpoint;
  readonly log: Log;
}

type GlusterReport = Omit<VolumeReport, 'online' | 'fill' | 'heal'>;

const ROUND_EVERY_MS = 30_000;
/** While other nodes' part is awaited. */
const LOOK_EVERY_MS = 50;
/** Making a volume takes two turns: its bricks, and then Gluster's orders. */
const MOST_TURNS = 5;
/** Of many that are asked for at once the oldest come first, and are told of before the others are begun. */
const AT_ONCE = 4;

export class StorageKeeper {
  readonly #world: KeeperWorld;
  readonly #failures: Failures;
  /** Up to which generation Gluster has what is wanted. */
  readonly #settled = new Map<VolumeId, number>();
  #observed: Observed = { bricks: [], gluster: undefined };
  #revision = 0;
  #last: Promise<void> = Promise.resolve();
  #queued = false;
  #wake: NodeJS.Timeout | undefined;
  #stopped = false;
  #toldStrays = '';

  constructor(world: KeeperWorld) {
    this.#world = world;
    this.#failures = new Failures(world.now);
  }

  /** Asks for a round; requests that come while one is under way are served by one more. */
  request(): void {
    if (this.#queued || this.#stopped) return;
    this.#queued = true;
    this.#last = this.#last.then(() => {
      this.#queued = false;
      return this.#round();
    });
  }

  /** Runs one round behind what is under way. */
  async runNow(): Promise<void> {
    this.request();
    await this.#last;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#wake);
    await this.#last;
  }

  /** Up to which revision of the cluster what it tells is the answer. */
  revision(): number {
    return this.#revision;
  }

  bricks(): BrickReport[] {
    const { node } = this.#world;
    return [...this.#volumes().values()].flatMap((volume) => [
      ...volume.bricks.flatMap((brick, index) =>
        brick.node === node ? (this.#brickReport(volume, index) ?? []) : [],
      ),
      ...this.#leftoversOf(volume),
    ]);
  }

  /** What is still here of it after it was moved elsewhere. */
  #leftoversOf({ id, bricks }: Volume): BrickReport[] {
    return this.#observed.bricks
      .filter(({ volume, index }) => volume === id && isElsewhere(bricks[index], this.#world.node))
      .map(({ index, path, fill }) => ({
        ...{ volume: id, index, generation: 0, state: 'ready', path, fill, why: null },
      }));
  }

  #brickReport(volume: Volume, index: number): BrickReport | undefined {
    const held = this.#observed.bricks.find((one) => one.volume === volume.id && one.index === index);
    const failure = this.#failures.of(volume);
    const common = { volume: volume.id, index, generation: volume.generation, fill: held?.fill ?? null };
    if (held?.broken !== undefined)
      return { ...common, state: 'failed', why: `its disk does not work: ${held.broken}` };
    if (failure !== undefined && (failure.index === index || held === undefined))
      return { ...common, state: 'failed', why: failure.error.message };
    if (held === undefined) return undefined;
    const wanted = wantedBrick(volume, index);
    const isReady = volume.phase === 'removing' || (wanted !== undefined && isAsWanted(held, wanted));
    const ready = { ...common, state: 'ready', path: held.path, why: null } as const;
    // Held but not as wanted: it is about to be grown, and known as it was.
    return isReady ? ready : { ...ready, generation: 0 };
  }

  /** Without what takes asking the bricks' processes (volume-watch.ts). */
  volumes(): GlusterReport[] {
    const all = [...this.#volumes().values()];
    return all
      .filter(({ coordinator }) => coordinator === this.#world.node)
      .flatMap((volume) => this.#volumeReport(volume) ?? []);
  }

  #volumeReport(volume: Volume): GlusterReport | undefined {
    const failure = this.#failures.of(volume);
    const state = this.#stateOf(volume);
    const why = failure?.error.message ?? null;
    if (failure !== undefined && (volume.phase === 'creating' || state === undefined))
      return { volume: volume.id, generation: volume.generation, state: 'failed', why };
    if (state === undefined && volume.phase === 'removing')
      return {
        ...{ volume: volume.id, generation: 0, state: 'failed' },
        why: 'glusterd has not told of it yet',
      };
    if (state === undefined || (state === 'absent' && volume.phase === 'creating')) return undefined;
    const lost = state === 'absent' && volume.phase === 'ready' ? 'Gluster does not know it any more' : null;
    return { volume: volume.id, generation: this.#settled.get(volume.id) ?? 0, state, why: why ?? lost };
  }

  /** Those that have started and are to stay so, by this node's coordination. */
  coordinated(): Volume[] {
    return [...this.#volumes().values()].filter(
      (volume) =>
        volume.coordinator === this.#world.node && volume.phase === 'ready' && this.isStarted(volume.id),
    );
  }

  /** Up to which generation this node, as its coordinator, has brought Gluster; undefined: it is another's, or not yet. */
  settledAt(volume: Volume): number | undefined {
    return volume.coordinator === this.#world.node ? this.#settled.get(volume.id) : undefined;
  }

  heldBricks(): Observed['bricks'] {
    return this.#observed.bricks;
  }

  /** How full bricks are, and what others have ordered of Gluster, changes without us. */
  async refresh(): Promise<void> {
    const { open } = this.#world.parts;
    if (open.bricks === undefined || this.#observed.bricks.length === 0) return;
    this.#observed = await observeStorage({ open });
  }

  /** Whether Gluster has started it, as far as this node's glusterd knows. */
  isStarted(id: VolumeId): boolean {
    return this.#presentOf({ id })?.state === 'started';
  }

  #volumes(): ReadonlyMap<VolumeId, Volume> {
    return this.#world.view()?.volumes ?? new Map<VolumeId, Volume>();
  }

  #presentOf({ id }: Pick<Volume, 'id'>): GlusterVolume | undefined {
    return this.#observed.gluster?.volumes.find(({ name }) => name === `sluice-${id}`);
  }

  #stateOf(volume: Volume): 'started' | 'stopped' | 'absent' | undefined {
    if (this.#observed.gluster === undefined) return undefined;
    const present = this.#presentOf(volume);
    if (present === undefined) return 'absent';
    return present.state === 'started' ? 'started' : 'stopped';
  }

  async #round(): Promise<void> {
    clearTimeout(this.#wake);
    const { log } = this.#world;
    try {
      await this.#settleAll();
    } catch (error) {
      log.warn({ reason: asSluiceError(error).message }, 'storage is not as it should be yet');
      this.#wakeIn(SHORTEST_PAUSE_MS);
    }
    this.#world.news();
  }

  async #settleAll(): Promise<void> {
    const { node, parts } = this.#world;
    const { volumes, revision } = this.#world.view() ?? {};
    if (volumes === undefined || revision === undefined) return;
    this.#forgetGone(volumes);
    const held = await this.#held();
    const ours = [...volumes.values()]
      .filter((volume) => concerns(volume, node) || held.has(volume.id))
      .sort((one, other) => one.createdAt - other.createdAt);
    if (ours.length === 0 && parts.open.gluster === undefined) {
      this.#revision = revision;
      return;
    }
    if (ours.length > 0) await this.#open(ours);
    let [waits, leaves] = [false, true];
    for (let turn = 0; turn < MOST_TURNS; turn += 1) {
      const seen = await observeStorage(parts);
      this.#observed = seen;
      const plans = await this.#plan(ours, seen);
      waits = ours.some((volume) => this.#awaitsOthers(volume, seen, plans));
      const due = [...plans].filter(([id]) => this.#isDue(volumes.get(id)));
      this.#noteSettled(ours, plans, seen);
      leaves = due.length > 0;
      if (!leaves) break;
      for (const [id, actions] of due.slice(0, AT_ONCE)) await this.#act(volumes.get(id), actions);
      this.#world.news();
    }
    this.#revision = revision;
    this.#tellOfStrays(volumes);
    if (waits || leaves) this.#wakeIn(LOOK_EVERY_MS);
    else this.#wakeIn(Math.min(ROUND_EVERY_MS, this.#failures.nextInMs()));
  }

  #tellOfStrays(volumes: ReadonlyMap<VolumeId, Volume>): void {
    const strays = strayBricks(volumes, this.#observed.bricks).map(
      ({ volume, index }) => `${volume}/${index}`,
    );
    if (strays.join() !== this.#toldStrays && strays.length > 0)
      this.#world.log.warn(
        { bricks: strays },
        'bricks of volumes that the server does not know; they are left as they are',
      );
    this.#toldStrays = strays.join();
  }

  /** Volumes of which bricks are here, also those that are to be elsewhere by now. What hinders it is told when it is needed. */
  async #held(): Promise<ReadonlySet<VolumeId>> {
    try {
      const bricks = await (await this.#world.parts.bricks())?.held();
      return new Set(bricks?.map(({ volume }) => volume));
    } catch {
      return new Set();
    }
  }

  /** A glusterd that does not come up is what is wrong with each of them. */
  async #open(ours: readonly Volume[]): Promise<void> {
    const { parts } = this.#world;
    try {
      await parts.gluster();
      await parts.bricks();
    } catch (error) {
      for (const volume of ours) this.#fail(volume, undefined, error);
      throw error;
    }
  }

  async #plan(ours: readonly Volume[], seen: Observed): Promise<ReadonlyMap<VolumeId, readonly Action[]>> {
    const { node, parts } = this.#world;
    const told = new Map<VolumeId, readonly (BrickReport | undefined)[]>();
    for (const volume of ours.filter((one) => this.#isMaking(one)))
      told.set(volume.id, await this.#toldOf(volume));
    const address = parts.open.gluster?.daemon.address;
    const nodes = this.#world.view()?.nodes.values() ?? [];
    return planVolumes({
      ...{ node, volumes: ours, bricks: seen.bricks, gluster: seen.gluster, address },
      members: new Set([...nodes].map(({ uplinkAddress }) => uplinkAddress)),
      told: ({ id }) => told.get(id) ?? [],
      optionsOf: (volume) => this.#world.optionsOf(volume, address),
    });
  }

  /** Whether Gluster's orders wait for bricks that this node or others make. */
  #isMaking(volume: Volume): boolean {
    if (volume.coordinator !== this.#world.node || this.#observed.gluster === undefined) return false;
    const present = this.#presentOf(volume);
    if (volume.phase === 'creating') return present === undefined;
    return volume.phase === 'ready' && present !== undefined && isMoving(volume, present);
  }

  /** What others do next comes to no end by itself: to be made it needs their bricks, to go their orders to Gluster. */
  #awaitsOthers(
    volume: Volume,
    { bricks }: Observed,
    plans: ReadonlyMap<VolumeId, readonly Action[]>,
  ): boolean {
    if (plans.has(volume.id) || this.#failures.of(volume) !== undefined) return false;
    if (volume.phase === 'removing') return bricks.some((one) => one.volume === volume.id);
    return this.#isMaking(volume);
  }

  /** This node's own bricks need no server to tell of them. */
  async #toldOf(volume: Volume): Promise<readonly (BrickReport | undefined)[]> {
    const own = this.bricks().filter((one) => one.volume === volume.id);
    const ownOnly = volume.bricks.every(({ node }) => node === this.#world.node);
    const others = ownOnly ? [] : await this.#world.told(volume).catch(() => []);
    return volume.bricks.map(({ node }, index) =>
      node === this.#world.node ? own.find((one) => one.index === index) : others[index],
    );
  }

  async #act(volume: Volume | undefined, actions: readonly Action[]): Promise<void> {
    if (volume === undefined) return;
    const { parts, checkpoint, log } = this.#world;
    for (const action of actions) {
      try {
        await applyActions(parts, [action], checkpoint);
        log.info({ volume: volume.id, ...shown(action) }, `${action.do} done`);
      } catch (error) {
        this.#fail(volume, action.do === 'brick' ? action.brick.index : undefined, error);
        return;
      }
    }
    this.#failures.over(volume.id);
  }

  #fail(volume: Volume, index: number | undefined, thrown: unknown): void {
    const error = asSluiceError(thrown);
    this.#failures.note(volume, { error, index });
    this.#world.log.warn(
      { volume: volume.id, reason: error.message, hint: error.hint },
      'a volume is not as it is wanted',
    );
    this.#world.news();
  }

  #isDue(volume: Volume | undefined): boolean {
    return volume !== undefined && this.#failures.isDue(volume);
  }

  #noteSettled(
    ours: readonly Volume[],
    plans: ReadonlyMap<VolumeId, readonly Action[]>,
    { gluster }: Observed,
  ): void {
    if (gluster === undefined) return;
    for (const volume of ours) {
      const orders = (plans.get(volume.id) ?? []).filter((action) => action.do !== 'brick');
      if (orders.length > 0) continue;
      if (this.#isMaking(volume)) continue;
      this.#settled.set(volume.id, volume.generation);
      if (!plans.has(volume.id)) this.#failures.over(volume.id);
    }
  }

  #forgetGone(volumes: ReadonlyMap<VolumeId, Volume>): void {
    for (const id of this.#settled.keys()) if (!volumes.has(id)) this.#settled.delete(id);
    this.#failures.forgetOthers(volumes);
  }

  #wakeIn(ms: number): void {
    clearTimeout(this.#wake);
    if (this.#stopped) return;
    this.#wake = setTimeout(() => this.request(), ms);
    this.#wake.unref();
  }
}

function shown(action: Action): object {
  if (action.do === 'brick') return { index: action.brick.index };
  if (action.do === 'remove-brick') return { index: action.index };
  if (action.do === 'replace') return { index: action.index, from: action.from, to: action.to };
  return action.do === 'probe' || action.do === 'detach' ? { peer: action.address } : {};
}
