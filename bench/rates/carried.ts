/** What the machine carries without any limit: a rate that it cannot carry cannot be held to either. */
import type { SuiteContext } from '../suite.ts';
import { type Cell, type Distance, nameOf, type Protocol, RATES } from './cells.ts';
import { wireRate } from './figures.ts';
import type { Site } from './sites.ts';
import { send } from './traffic.ts';

/** What is offered, and something to spare: else it would be the machine that is measured. */
const SPARE = 1.25;
const SECONDS = 2;
const WARM_UP_MS = 500;

export type Carried = Readonly<Record<Protocol, Readonly<Record<Distance, number>>>>;

/** Bits of frames a second between two containers without limits, in each way that cells are measured. */
export async function measureCarried(site: Site, { progress, signal }: SuiteContext): Promise<Carried> {
  const { end: from, remove } = await site.limited({});
  try {
    const rate = async (protocol: Protocol, distance: Distance): Promise<number> => {
      const path = { from, to: site.peer(distance) };
      const trace = await send(path, { protocol, seconds: SECONDS, offered: 0, signal });
      const end = trace.samples.at(-1)?.atMs ?? 0;
      const found = wireRate(trace, trace.startedMs + WARM_UP_MS, end);
      progress(`unlimited ${protocol} ${distance}: ${(found / 1e9).toFixed(2)} Gbit/s`);
      return found;
    };
    const both = async (protocol: Protocol): Promise<Record<Distance, number>> => ({
      samehost: await rate(protocol, 'samehost'),
      twohosts: await rate(protocol, 'twohosts'),
    });
    return { tcp: await both('tcp'), udp: await both('udp') };
  } finally {
    await remove();
  }
}

/** Those that the machine can carry; of each other one it is told why it is left out. */
export function carriedOf(cells: readonly Cell[], carried: Carried, tell: (line: string) => void): Cell[] {
  return cells.filter((cell) => {
    const most = carried[cell.protocol][cell.distance];
    const enough = most >= RATES[cell.rate] * SPARE;
    if (!enough) {
      tell(`${nameOf(cell)} is left out: without a limit, ${(most / 1e9).toFixed(2)} Gbit/s is all there is`);
    }
    return enough;
  });
}
