/** Sleep that somebody may end: a loop works when it is called, and otherwise when its time has come. */

export interface Alarm {
  /** Ends the sleep; when nobody sleeps, the next sleep ends at once. */
  ring(): void;
  sleep(ms: number): Promise<void>;
}

/** @param stop  rings for good */
export function createAlarm(stop: AbortSignal): Alarm {
  let rung = false;
  let wake: (() => void) | undefined;
  const ring = (): void => {
    rung = true;
    wake?.();
  };
  stop.addEventListener('abort', ring, { once: true });
  return {
    ring,
    async sleep(ms): Promise<void> {
      if (!rung && !stop.aborted) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, Math.max(1, ms));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      wake = undefined;
      rung = false;
    },
  };
}
