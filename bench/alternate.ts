/** Measures rivals in turn, so that what the machine does besides falls on all of them alike. */
import { setTimeout as sleep } from 'node:timers/promises';

/** The kernel goes on tidying up after a rival, interfaces and namespaces above all: not at the next one's cost. */
const SETTLE_MS = 300;

/**
 * @param rivals  by name; each round measures every one of them
 * @param tell    called after each measurement, with the round counted from 1
 * @returns the samples of each rival, by round
 */
export async function alternate<Name extends string, Sample>(
  rounds: number,
  rivals: ReadonlyMap<Name, () => Promise<Sample>>,
  tell: (round: number, name: Name, sample: Sample) => void,
): Promise<Map<Name, Sample[]>> {
  const samples = new Map<Name, Sample[]>([...rivals.keys()].map((name) => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const [name, measure] of turned([...rivals], round - 1)) {
      await sleep(SETTLE_MS);
      const sample = await measure();
      samples.get(name)?.push(sample);
      tell(round, name, sample);
    }
  }
  return samples;
}

/** Who goes first, changes: the place in the round must not favour anybody. */
export function turned<T>(list: readonly T[], by: number): T[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
