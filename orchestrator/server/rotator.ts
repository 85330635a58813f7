/** Carries changes of keys on, step by step: reads the state, decides, writes the next one; a successor goes on from there. */
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { NodeName } from '../../model/names.ts';
import type { Store } from '../../store/contract.ts';
import { endsFormerKeys, readRotation, type StoredRotation } from './key-state.ts';
import { PATHS, readAll } from './layout.ts';
import type { Change, Mutate } from './mutate.ts';
import { Presence } from './presence.ts';
import {
  beginRotation,
  type KeyTiming,
  type NodeKeys,
  planRotation,
  type Rotation,
} from './rotation-plan.ts';

export interface RotatorOptions {
  readonly store: Store;
  readonly mutate: Mutate;
  /** Unix time in ms. */
  readonly now: () => number;
  /** ms that only go forward. */
  readonly clock: () => number;
  readonly timing: KeyTiming;
  /** Unix time in ms when this server started. */
  readonly startedAt: number;
  /** Called at each point where a crash would be interesting; names in docs/configuration.md. */
  readonly checkpoint: (point: string) => void;
  readonly log: Log;
}

export interface Rotator {
  readonly presence: Presence;
  /** Begins to look after the keys: once, when it is certain that no other server does on this store. */
  start(): void;
  readonly timing: KeyTiming;
  /** All nodes, and what is known of their keys. */
  nodes(): Promise<NodeKeys[]>;
  /** Something has changed that may let a change of keys go on. */
  wake(): void;
  /** A change of keys has begun by somebody's order. */
  begun(): void;
  /** How many changes of keys this server has begun and ended. */
  readonly counts: { begun: number; ended: number };
  close(): Promise<void>;
}

/** setTimeout takes no more than 2^31 ms; looking once an hour costs nothing. */
const LONGEST_SLEEP_MS = 3_600_000;
const PAUSE_AFTER_FAILURE_MS = 1_000;

/** It does nothing yet. */
export function makeRotator(options: RotatorOptions): Rotator {
  const bell = new Wake();
  const presence = new Presence(() => bell.ring(), options.clock);
  const stop = new AbortController();
  const counts = { begun: 0, ended: 0 };
  const nodes = (): Promise<NodeKeys[]> => readNodes(options.store, presence);
  let ended = Promise.resolve();
  return {
    presence,
    start: () => {
      ended = carryOn(options, nodes, counts, bell, stop.signal);
    },
    timing: options.timing,
    nodes,
    wake: () => bell.ring(),
    begun: () => {
      counts.begun += 1;
      bell.ring();
      options.checkpoint('keys:spreading');
    },
    counts,
    close: async () => {
      stop.abort();
      bell.ring();
      await ended;
    },
  };
}

/** A change that begins another generation, for whoever has a reason to. @param urgent  see KeyReport */
export function beginning<T>(
  { rotation, revision }: StoredRotation,
  urgent: boolean,
  now: number,
  result: T,
): Required<Pick<Change<T>, 'compare' | 'put' | 'result'>> {
  return {
    compare: [{ key: PATHS.rotation, revision }],
    put: [{ key: PATHS.rotation, value: beginRotation(rotation, urgent, now) }],
    result,
  };
}

async function carryOn(
  options: RotatorOptions,
  nodes: () => Promise<NodeKeys[]>,
  counts: Rotator['counts'],
  bell: Wake,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const rung = bell.next();
    let pauseMs: number;
    try {
      pauseMs = await step(options, await nodes(), counts);
    } catch (error) {
      if (signal.aborted) return;
      if (isSuperseded(error)) continue;
      options.log.error({ err: error }, 'the keys could not be looked after; trying again');
      pauseMs = PAUSE_AFTER_FAILURE_MS;
    }
    if (pauseMs > 0) await rung.orAfter(Math.min(pauseMs, LONGEST_SLEEP_MS));
  }
}

/** @returns ms until there may be more to do; 0: at once */
async function step(
  options: RotatorOptions,
  nodes: readonly NodeKeys[],
  counts: Rotator['counts'],
): Promise<number> {
  const { store, mutate, now, timing, checkpoint, startedAt } = options;
  const stored = await readRotation(store);
  const planned = planRotation(stored.rotation, nodes, now(), timing, startedAt);
  if (planned.do === 'wait')
    return planned.until === undefined ? LONGEST_SLEEP_MS : Math.max(1, planned.until - now());
  if (planned.do === 'begin') {
    const subject = `generation ${stored.rotation.current + 1}, by the clock`;
    await mutate({ who: { role: 'server' }, operation: 'key.rotate', subject }, async () => {
      const { rotation, revision } = await readRotation(store);
      if (rotation.phase !== 'steady') throw superseded();
      return beginning({ rotation, revision }, false, now(), undefined);
    });
    counts.begun += 1;
    checkpoint('keys:spreading');
    return 0;
  }
  await advance(options, stored, planned.to, planned.left, counts);
  return 0;
}

async function advance(
  { store, mutate, log, checkpoint }: RotatorOptions,
  { rotation, revision }: StoredRotation,
  to: Rotation,
  left: readonly NodeName[],
  counts: Rotator['counts'],
): Promise<void> {
  const change = {
    compare: [{ key: PATHS.rotation, revision }],
    put: [{ key: PATHS.rotation, value: to }],
    delete: endsFormerKeys(to) && rotation.phase !== 'steady' ? [PATHS.formerKeys] : [],
  };
  if (left.length > 0) {
    const subject = `generation ${to.current} goes on without node ${left.join(', ')}`;
    await mutate({ who: { role: 'server' }, operation: 'key.rotate', subject }, async () => {
      if ((await store.get(PATHS.rotation))?.revision !== revision) throw superseded();
      return { ...change, result: undefined };
    });
    log.warn(
      { nodes: left, generation: to.current },
      'the change of keys goes on without nodes that do not answer',
    );
  } else if (!(await store.txn(change)).ok) return;
  if (to.phase === rotation.phase) return;
  log.debug({ generation: to.current, phase: to.phase }, 'the change of keys goes on');
  if (to.phase === 'steady') counts.ended += 1;
  checkpoint(`keys:${to.phase}`);
}

async function readNodes(store: Store, presence: Presence): Promise<NodeKeys[]> {
  return (await readAll(store, PATHS.nodes, ClusterNode)).map(({ node, fenced }) => ({
    node,
    fenced,
    awayMs: presence.awayMs(node),
    held: presence.held(node),
  }));
}

/** Somebody else was faster: what to do is decided anew. */
function superseded(): SluiceError {
  return new SluiceError('conflict', 'the change of keys has gone on', 'look again');
}

function isSuperseded(error: unknown): boolean {
  return error instanceof SluiceError && error.code === 'conflict';
}

/** One sleeper, woken by a ring that may come before it sleeps. */
class Wake {
  #rung = Promise.withResolvers<void>();

  ring(): void {
    this.#rung.resolve();
  }

  /** From here on, no ring is missed. */
  next(): { orAfter(ms: number): Promise<void> } {
    this.#rung = Promise.withResolvers();
    const { promise, resolve } = this.#rung;
    return {
      orAfter: async (ms) => {
        const timer = setTimeout(resolve, ms);
        await promise;
        clearTimeout(timer);
      },
    };
  }
}
