/** P7: whether limits of the network are held, from the first second on; in turn with the reference plugin. */
import { alternate } from '../alternate.ts';
import type { RowId } from '../catalogue.ts';
import type { Measurement } from '../rows.ts';
import { median, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';
import { carriedOf, measureCarried } from './carried.ts';
import { type Cell, nameOf, planCells, RATES, rowsOf } from './cells.ts';
import { measureChange } from './change.ts';
import { type Shares, sharesOf } from './figures.ts';
import { measurePing } from './ping.ts';
import { buildSites, type Rival, type Site, type Sites } from './sites.ts';
import { send } from './traffic.ts';

/** Of UDP, more than the limit lets through: what is too much must be what is lost. */
const OFFERED = 1.2;

const SINGLE = { 'P7.change': measureChange, 'P7.ping': measurePing } as const;

/** What was measured of a cell, by round. */
interface CellFigures {
  readonly cell: Cell;
  readonly ours: readonly Shares[];
  readonly reference: readonly Shares[];
}

export async function measureRates(context: SuiteContext): Promise<Measurement[]> {
  const cells = planCells(context.wanted);
  const single = (Object.keys(SINGLE) as (keyof typeof SINGLE)[]).filter((id) => context.wanted.has(id));
  if (cells.length === 0 && single.length === 0) return [];
  const sites = await buildSites(context);
  try {
    const measurements = cells.length === 0 ? [] : await measureCells(cells, sites, context);
    for (const id of single) measurements.push(await SINGLE[id](sites, context));
    return measurements;
  } finally {
    await sites.close();
  }
}

async function measureCells(
  cells: readonly Cell[],
  sites: Sites,
  context: SuiteContext,
): Promise<Measurement[]> {
  const carried = await measureCarried(sites.ours, context);
  const figures: CellFigures[] = [];
  for (const cell of carriedOf(cells, carried, context.progress)) {
    context.signal.throwIfAborted();
    figures.push(await measureCell(cell, sites, context));
  }
  const wanted = [...context.wanted].filter((id) => figures.some(({ cell }) => rowsOf(cell).includes(id)));
  return wanted.map((id) =>
    measurementOf(
      id,
      figures.filter(({ cell }) => rowsOf(cell).includes(id)),
    ),
  );
}

async function measureCell(cell: Cell, sites: Sites, context: SuiteContext): Promise<CellFigures> {
  const rivals = new Map<Rival, () => Promise<Shares>>(
    (['ours', 'reference'] as const).map((rival) => [rival, () => measureOnce(cell, sites[rival], context)]),
  );
  const samples = await alternate(context.rounds, rivals, (round, rival, { steady, first, goodput }) => {
    const told = `${steady.toFixed(3)}, first second ${first.toFixed(3)}, goodput ${goodput.toFixed(3)}`;
    context.progress(`P7 ${nameOf(cell)} round ${round}/${context.rounds} ${rival}: ${told}`);
  });
  return { cell, ours: samples.get('ours') ?? [], reference: samples.get('reference') ?? [] };
}

/** Each time a container of its own: the first second counts, too. */
async function measureOnce(
  { rate, direction, protocol, distance }: Cell,
  site: Site,
  { seconds, signal }: SuiteContext,
): Promise<Shares> {
  const target = RATES[rate];
  const { end, remove } = await site.limited({ [direction]: target });
  try {
    const peer = site.peer(distance);
    const path = direction === 'out' ? { from: end, to: peer } : { from: peer, to: end };
    const traffic = { protocol, seconds: seconds + 1, offered: target * OFFERED, signal };
    return sharesOf(await send(path, traffic), target);
  } finally {
    await remove();
  }
}

/** A row stands for several ways of measuring one rate: its value is that of the way which is farthest off. */
function measurementOf(id: RowId, figures: readonly CellFigures[]): Measurement {
  const figure = id.startsWith('P7.first.') ? 'first' : 'steady';
  const worst = farthest(figures.map(({ ours }) => ours.map((shares) => shares[figure])));
  const baseline = farthest(figures.map(({ reference }) => reference.map((shares) => shares[figure])));
  return {
    ...{ id, value: median(worst), rounds: worst, ours: median(worst), baseline: median(baseline) },
    details: Object.fromEntries(figures.map(({ cell, ...rivals }) => [nameOf(cell), detailsOf(rivals)])),
  };
}

function farthest(ways: readonly (readonly number[])[]): readonly number[] {
  const off = (rounds: readonly number[]): number => Math.abs(median(rounds) - 1);
  const [first = [], ...others] = ways;
  return others.reduce((worst, way) => (off(way) > off(worst) ? way : worst), first);
}

function detailsOf(rivals: Readonly<Record<Rival, readonly Shares[]>>): Record<string, unknown> {
  const of = (shares: readonly Shares[]): Record<string, unknown> => ({
    steady: shares.map(({ steady }) => rounded(steady)),
    first: shares.map(({ first }) => rounded(first)),
    goodput: shares.map(({ goodput }) => rounded(goodput)),
  });
  return { ours: of(rivals.ours), reference: of(rivals.reference) };
}
