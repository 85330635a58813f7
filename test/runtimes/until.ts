/** Waiting for what takes a moment. */
import { setTimeout as sleep } from 'node:timers/promises';

const LONGEST_MS = 20_000;
const POLL_MS = 50;

/** Asks again and again until the answer is yes. @throws Error naming what did not come within 20 s */
export async function until(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LONGEST_MS;
  while (!(await ask())) {
    if (performance.now() > deadline)
      throw new Error(`${LONGEST_MS / 1000} s have passed, and not yet: ${what}`);
    await sleep(POLL_MS);
  }
}
