/** Which probes are under way, and which of them have been answered. What was not sent lately is not believed. */
import { randomBytes } from 'node:crypto';
import type { Ipv4 } from '../../model/addresses.ts';
import type { FenceProbe, ProbeKind } from '../../model/fence-probe.ts';

export interface Shot {
  readonly kind: ProbeKind;
  readonly id: string;
  /** When the peer had it, in ns on the peer's clock; undefined: it has not answered. */
  readonly receivedAt: bigint | undefined;
  /** Waits for the answer. @returns whether it came in time */
  answered(withinMs: number): Promise<boolean>;
}

export interface Echoes {
  /** Something is about to be sent. @param from  the only address whose answer counts */
  expect(kind: ProbeKind, from: Ipv4): Shot;
  heard(echo: FenceProbe, from: Ipv4): void;
  /** What comes later is not believed any more. */
  forget(shots: Iterable<Shot>): void;
}

interface Waiting extends Shot {
  readonly from: Ipv4;
  receivedAt: bigint | undefined;
  readonly done: PromiseWithResolvers<void>;
}

export function createEchoes(): Echoes {
  const waiting = new Map<string, Waiting>();
  return {
    expect(kind, from): Shot {
      const done = Promise.withResolvers<void>();
      const shot: Waiting = {
        ...{ kind, from, id: randomBytes(16).toString('hex'), receivedAt: undefined, done },
        answered: (withinMs) => inTime(shot, withinMs),
      };
      waiting.set(shot.id, shot);
      return shot;
    },
    heard({ id, kind, receivedAt }, from): void {
      const shot = waiting.get(id);
      if (shot === undefined || shot.from !== from || shot.kind !== kind) return;
      shot.receivedAt = receivedAt;
      shot.done.resolve();
    },
    forget: (shots) => {
      for (const { id } of shots) waiting.delete(id);
    },
  };
}

async function inTime(shot: Waiting, withinMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs);
  });
  await Promise.race([shot.done.promise, late]);
  clearTimeout(timer);
  return shot.receivedAt !== undefined;
}
