/** The means of proof: shots that must not arrive, controls that must, and those who watch. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPacketSocket, type PacketSocket, type SeenFrame } from '../../linux/packet.ts';
import type { Side } from '../../model/endpoint.ts';
import type { Verdict } from './report.ts';
import { type LocalActor, nicOn } from './stage.ts';

/** Every frame of ours carries these bytes, so that a watch on a busy interface keeps nothing else. */
const MARKER = Buffer.from('<sluice>');

/** 16 bytes by which one shot is known wherever it turns up, also inside an answer. */
export function freshToken(): Buffer {
  return Buffer.concat([MARKER, randomBytes(8)]);
}

/** Remembers what of ours passed an interface. */
export interface Watch extends Disposable {
  readonly socket: PacketSocket;
  find(token: Buffer): SeenFrame | undefined;
}

/** @param fits  which frames count; default: those that came in */
export function watch(socket: PacketSocket, fits: (frame: SeenFrame) => boolean = isIncoming): Watch {
  const seen: SeenFrame[] = [];
  return {
    socket,
    find(token): SeenFrame | undefined {
      seen.push(...socket.take().filter((frame) => fits(frame) && frame.bytes.includes(MARKER)));
      return seen.find(({ bytes }) => bytes.includes(token));
    },
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
}

/** Watches what arrives at a container. */
export function watchActor(actor: LocalActor, side: Side): Watch {
  return watch(openPacketSocket(actor.netns, nicOn(actor, side).ifName));
}

const isIncoming = ({ outgoing }: SeenFrame): boolean => !outgoing;
export const isOutgoing = ({ outgoing }: SeenFrame): boolean => outgoing;

/** Something sent that can be recognised. */
export interface Shot {
  /** What is special about it, in words that continue 'a frame …'. */
  readonly what: string;
  readonly token: Buffer;
  readonly fire: () => void;
  /** It has arrived when one of them saw it. */
  readonly seenBy: readonly Pick<Watch, 'find'>[];
}

export interface Finding {
  readonly got: Verdict;
  readonly note?: string;
}

/** A control that has not come by then never will: the path takes well below a millisecond. */
const CONTROL_MS = 2_000;
/** Once every control is there, what was sent before them and is still under way gets this long. */
const GRACE_MS = 60;
const POLL_MS = 1;

/**
 * Fires what must not arrive, then by the same means what must. Only when all of the latter has come does the
 * absence of the former mean anything.
 */
export async function judge(forbidden: readonly Shot[], controls: readonly Shot[]): Promise<Finding> {
  for (const shot of forbidden) shot.fire();
  for (const shot of controls) shot.fire();
  const lost = await missingAfter(controls, CONTROL_MS);
  await sleep(GRACE_MS);
  const through = forbidden.filter(hasArrived);
  if (through.length > 0) return { got: 'pass', note: `came through: ${listed(through)}` };
  if (lost.length > 0)
    return { got: 'error', note: `the control did not arrive, so this proves nothing: ${listed(lost)}` };
  return { got: 'drop' };
}

/** Waits until all have arrived. @returns those that have not in time */
export async function missingAfter(shots: readonly Shot[], timeoutMs: number): Promise<Shot[]> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const missing = shots.filter((shot) => !hasArrived(shot));
    if (missing.length === 0 || performance.now() >= deadline) return missing;
    await sleep(POLL_MS);
  }
}

function hasArrived({ token, seenBy }: Shot): boolean {
  return seenBy.some((one) => one.find(token) !== undefined);
}

const MOST_LISTED = 3;

function listed(shots: readonly Shot[]): string {
  const names = shots.slice(0, MOST_LISTED).map(({ what }) => what);
  const rest = shots.length - names.length;
  return rest > 0 ? `${names.join('; ')}; and ${rest} more` : names.join('; ');
}
