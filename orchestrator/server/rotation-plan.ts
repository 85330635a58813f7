/**
 * Decides how a change of keys goes on. Between any two nodes that it waits for, whatever one sends the other
 * accepts, at every moment and in whatever order the news reaches them:
 *
 *     steady      all accept g           and send g
 *     spreading   all come to accept g+1, and send g      until all have said that they accept g+1
 *     switching   all accept both,       and come to send g+1   until all have said that they send g+1
 *     retiring    the same, until what was sent with g has arrived
 *     steady      all accept g+1         and send g+1
 *
 * A node that is not heard of in time is gone on without, and named.
 */
import * as z from 'zod';
import { epochOf, type HeldKeys, KeyGeneration, KeyPhase } from '../../model/keys.ts';
import { NodeName } from '../../model/names.ts';

const Accepted = z.strictObject({
  generation: KeyGeneration,
  /** Unix time in ms. */
  madeAt: z.number(),
});

export const Rotation = z.strictObject({
  phase: KeyPhase,
  /** What is sent with. */
  current: KeyGeneration,
  /** What is handed to nodes; holds `current`, and while `spreading` the next one, which is the highest. */
  accepted: z.array(Accepted).min(1),
  /** Unix time in ms when the phase began. */
  since: z.number(),
  /** Unix time in ms when the last change of keys began. */
  begun: z.number(),
  urgent: z.boolean(),
  /** Gone on without, and not caught up yet. */
  late: z.array(NodeName),
});
export type Rotation = z.infer<typeof Rotation>;

/** What the server knows of a node's keys. */
export interface NodeKeys {
  readonly node: NodeName;
  readonly fenced: boolean;
  /** How long it has been without a stream, in ms; 0 while it has one. */
  readonly awayMs: number;
  /** What it said last on its present stream. */
  readonly held: HeldKeys | undefined;
}

/** All in ms. */
export interface KeyTiming {
  /** From the beginning of one change of keys to that of the next; 0: never by the clock. */
  readonly rotateEveryMs: number;
  /** How long old keys are accepted after all nodes send with the new one. */
  readonly graceMs: number;
  /** How long a phase waits for nodes. */
  readonly waitMs: number;
  /** How long nodes may take to come back to a server that was started again, whatever else is said. */
  readonly reconnectMs: number;
}

export type RotationStep =
  /** Look again when something changes, and at this time (Unix ms) at the latest. */
  | { readonly do: 'wait'; readonly until: number | undefined }
  | { readonly do: 'begin' }
  | { readonly do: 'advance'; readonly to: Rotation; readonly left: readonly NodeName[] };

/** A fenced node knows all keys up to now, so nobody is waited for longer. */
export const URGENT_WAIT_MS = 1_000;

/** The first state of a cluster. */
export function firstRotation(generation: KeyGeneration, now: number): Rotation {
  return {
    phase: 'steady',
    current: generation,
    accepted: [{ generation, madeAt: now }],
    since: now,
    begun: now,
    urgent: false,
    late: [],
  };
}

/**
 * Begins a change of keys, also in the middle of another one: a node that is being fenced may know the one that is
 * being spread, so that one is given up, unless it is sent with already.
 */
export function beginRotation(rotation: Rotation, urgent: boolean, now: number): Rotation {
  const next = (highest(rotation) + 1) as KeyGeneration;
  const sent = rotation.accepted.filter(({ generation }) => generation <= rotation.current);
  return {
    ...rotation,
    phase: 'spreading',
    accepted: [...sent, { generation: next, madeAt: now }],
    since: now,
    begun: now,
    // Whoever has been fenced a moment ago is still to be got rid of.
    urgent: urgent || rotation.urgent,
  };
}

/**
 * What is to be done now, by a server that runs since `startedAt` (Unix ms). Pure; called again whenever a node has said something,
 * and at the time it names.
 */
export function planRotation(
  rotation: Rotation,
  nodes: readonly NodeKeys[],
  now: number,
  timing: KeyTiming,
  startedAt: number,
): RotationStep {
  // A clock that was set back would make a phase last as long as it was set back.
  if (now < rotation.since) return advance({ ...rotation, since: now, begun: Math.min(rotation.begun, now) });
  const caughtUp = lateStill(rotation, nodes);
  if (caughtUp.length < rotation.late.length) return advance({ ...rotation, late: caughtUp });
  switch (rotation.phase) {
    case 'steady':
      return planSteady(rotation, now, timing);
    case 'spreading':
      return planSpreading(rotation, nodes, now, waitsUntil(rotation, nodes, now, timing, startedAt));
    case 'switching':
      return planSwitching(rotation, nodes, now, waitsUntil(rotation, nodes, now, timing, startedAt));
    case 'retiring':
      return planRetiring(rotation, now, timing);
  }
}

/** Whether the node's plane is what nodes are told at present: it accepts all that is handed out and sends with the current one. */
export function hasFollowed(rotation: Rotation, held: HeldKeys | undefined): boolean {
  if (held === undefined) return false;
  const accepted = rotation.accepted.every(({ generation }) => held.accepts.includes(epochOf(generation)));
  return accepted && held.sends === epochOf(rotation.current);
}

function planSteady(rotation: Rotation, now: number, { rotateEveryMs }: KeyTiming): RotationStep {
  if (rotateEveryMs === 0) return { do: 'wait', until: undefined };
  const due = rotation.begun + rotateEveryMs;
  return now >= due ? { do: 'begin' } : { do: 'wait', until: due };
}

function planSpreading(
  rotation: Rotation,
  nodes: readonly NodeKeys[],
  now: number,
  until: number | undefined,
): RotationStep {
  if (until !== undefined) return { do: 'wait', until };
  const left = notFollowing(rotation, nodes);
  return advance({ ...rotation, phase: 'switching', current: highest(rotation), since: now }, left);
}

function planSwitching(
  rotation: Rotation,
  nodes: readonly NodeKeys[],
  now: number,
  until: number | undefined,
): RotationStep {
  if (until !== undefined) return { do: 'wait', until };
  const left = notFollowing(rotation, nodes);
  return advance({ ...rotation, phase: 'retiring', since: now }, left);
}

function planRetiring(rotation: Rotation, now: number, { graceMs }: KeyTiming): RotationStep {
  const until = rotation.since + (rotation.urgent ? 0 : graceMs);
  if (now < until) return { do: 'wait', until };
  const accepted = rotation.accepted.filter(({ generation }) => generation === rotation.current);
  return advance({ ...rotation, phase: 'steady', accepted, since: now, urgent: false });
}

/** @returns the time at which waiting ends if nothing happens before; undefined when it is over */
function waitsUntil(
  rotation: Rotation,
  nodes: readonly NodeKeys[],
  now: number,
  { waitMs, reconnectMs }: KeyTiming,
  startedAt: number,
): number | undefined {
  const longestMs = rotation.urgent ? Math.min(URGENT_WAIT_MS, waitMs) : waitMs;
  // The time in which there was no server to answer to is not held against nodes.
  const reconnected = startedAt + reconnectMs;
  const deadline = Math.max(rotation.since + longestMs, reconnected);
  const missing = nodes.filter(
    ({ node, fenced, awayMs, held }) =>
      !fenced &&
      !rotation.late.includes(node) &&
      (awayMs < longestMs || now < reconnected) &&
      !hasFollowed(rotation, held),
  );
  if (missing.length === 0 || now >= deadline) return undefined;
  // Those that are away are given up one by one.
  const givenUp = missing.map(({ awayMs }) =>
    awayMs === 0 ? deadline : Math.max(reconnected, now + longestMs - awayMs),
  );
  return Math.min(deadline, ...givenUp);
}

/** All that a phase ends without, those included that were away too long to be waited for. */
function notFollowing(rotation: Rotation, nodes: readonly NodeKeys[]): NodeName[] {
  return nodes
    .filter(
      ({ node, fenced, held }) => !fenced && !rotation.late.includes(node) && !hasFollowed(rotation, held),
    )
    .map(({ node }) => node);
}

/** Nodes that are fenced or gone are no longer waited for by anybody. */
function lateStill(rotation: Rotation, nodes: readonly NodeKeys[]): NodeName[] {
  return rotation.late.filter((name) => {
    const found = nodes.find(({ node }) => node === name);
    return found !== undefined && !found.fenced && !(found.awayMs === 0 && hasFollowed(rotation, found.held));
  });
}

function advance(to: Rotation, left: readonly NodeName[] = []): RotationStep {
  return { do: 'advance', to: { ...to, late: [...to.late, ...left] }, left };
}

function highest({ accepted, current }: Rotation): KeyGeneration {
  return Math.max(current, ...accepted.map(({ generation }) => generation)) as KeyGeneration;
}
