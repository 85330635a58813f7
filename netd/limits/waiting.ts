/** Whoever takes long is not waited for. */

/** What takes longer holds up nobody but itself. */
const PATIENCE_MS = 200;

/**
 * @param finished  how much of it is done by now
 * @returns whether nothing has come of it for longer than others should wait
 */
export async function isStuck(work: Promise<unknown>, finished: () => number): Promise<boolean> {
  let over = false;
  const end = work.then(() => {
    over = true;
  });
  for (let before = -1; !over && before < finished(); ) {
    before = finished();
    await Promise.race([end, pause(PATIENCE_MS)]);
  }
  return !over;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
