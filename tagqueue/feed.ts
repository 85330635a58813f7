/** Passes what happens on to everybody who follows, each at their own pace and with a bounded backlog. */
import type { MissedEvents } from '../model/drop.ts';

export interface Feed<T> {
  offer(items: readonly T[]): void;
  /**
   * What is offered from now on; ends with the signal.
   * @param wants  only these; what a follower does not want costs it nothing, not even in what it is told it missed
   */
  follow(signal: AbortSignal, wants?: (item: T) => boolean): AsyncGenerator<T | MissedEvents>;
}

/** Per follower. One that is slower than what happens is told how much it missed. */
const LONGEST_QUEUE = 1_000;

interface Follower<T> {
  readonly wants: (item: T) => boolean;
  queue: T[];
  missed: number;
  wake: () => void;
}

export function createFeed<T>(): Feed<T> {
  const followers = new Set<Follower<T>>();
  return {
    offer: (items) => {
      for (const follower of followers) hand(follower, items);
    },
    async *follow(signal, wants = () => true): AsyncGenerator<T | MissedEvents> {
      const follower: Follower<T> = { wants, queue: [], missed: 0, wake: () => undefined };
      followers.add(follower);
      try {
        yield* queueOf(follower, signal);
      } finally {
        followers.delete(follower);
      }
    },
  };
}

function hand<T>(follower: Follower<T>, items: readonly T[]): void {
  const wanted = items.filter(follower.wants);
  if (wanted.length === 0) return;
  const room = LONGEST_QUEUE - follower.queue.length;
  follower.queue.push(...wanted.slice(0, room));
  follower.missed += Math.max(0, wanted.length - room);
  follower.wake();
}

async function* queueOf<T>(follower: Follower<T>, signal: AbortSignal): AsyncGenerator<T | MissedEvents> {
  signal.addEventListener('abort', () => follower.wake(), { once: true });
  while (!signal.aborted) {
    const { queue, missed } = follower;
    follower.queue = [];
    follower.missed = 0;
    yield* queue;
    if (missed > 0) yield { missed };
    if (follower.queue.length === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        follower.wake = resolve;
      });
    }
  }
}
