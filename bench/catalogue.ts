/** Every row that can be measured: its id, unit and goal. What a row measures stands in docs/benchmarks.md. */
import { SluiceError } from '../model/errors.ts';

/** A bound on the row's value; `baseline` is what was measured of the other side in the same run. */
export type Goal =
  | { readonly op: '>=' | '<=' | '>' | '<'; readonly bound: number | 'baseline' }
  /** Neither more nor less than it, by more than `within`. */
  | { readonly op: '±'; readonly bound: number; readonly within: number };

export interface RowKind {
  readonly unit: 'ratio' | 'ms' | 'MB' | 'packets';
  readonly goal: Goal;
  /** For the terminal: what is compared, in a few words. */
  readonly title: string;
  /** The unit of `ours` and `baseline` where it is not that of the value. */
  readonly measuredIn?: string;
}

const atLeast = (bound: number): Goal => ({ op: '>=', bound });
const atMost = (bound: number): Goal => ({ op: '<=', bound });
const aheadOf: Record<'more' | 'less', Goal> = { more: { op: '>', bound: 1 }, less: { op: '<', bound: 1 } };
/** The row stands beside another one, to compare: any figure will do. */
const noGoal = atLeast(0);
const belowBaseline: Goal = { op: '<', bound: 'baseline' };

const tcp = (goal: Goal, against: string): RowKind => ({
  ...{ unit: 'ratio', goal, title: `TCP throughput, ${against}`, measuredIn: 'Gbit/s' },
});
const rr = (goal: Goal, against: string): RowKind => ({
  ...{ unit: 'ratio', goal, title: `round trip p50, ${against}`, measuredIn: 'µs' },
});
const pps = (goal: Goal, against: string): RowKind => ({
  ...{ unit: 'ratio', goal, title: `64-byte UDP packets, ${against}`, measuredIn: 'packets/s' },
});
const connections = (goal: Goal, against: string): RowKind => ({
  ...{ unit: 'ratio', goal, title: `new connections, ${against}`, measuredIn: 'connections/s' },
});
const lost = (carrier: string): RowKind => ({
  ...{ unit: 'packets', goal: atMost(0), title: `lost while keys change every second, carrier ${carrier}` },
});
const exactly = (within: number): Goal => ({ op: '±', bound: 1, within });
const held = (what: string): RowKind => ({
  ...{ unit: 'ratio', goal: exactly(0.02), title: `${what}, measured / target, worst way` },
});
const firstSecond = (rate: string): RowKind => ({
  ...{ unit: 'ratio', goal: exactly(0.1), title: `${rate}: first second / target, worst way` },
});
const unlimited = (measuredIn: string, what: string): RowKind => ({
  ...{ unit: 'ratio', goal: atLeast(0.97), title: `volume, ${what} without limit / plain mount`, measuredIn },
});
const volumeMs = (goal: Goal, title: string): RowKind => ({ unit: 'ms', goal, title });
const cni = (goal: Goal, title: string): RowKind => ({ unit: 'ms', goal, title });

export const ROWS = {
  'P1.twohosts': tcp(atLeast(1), 'two hosts / plain'),
  'P1.samehost': tcp(atLeast(1), 'one host / plain'),
  'P1.bridge': tcp(atLeast(0.95), 'two hosts, fast path off / plain'),
  'P1.vxlan': tcp(aheadOf.more, 'two hosts / VXLAN'),
  'P1.nic': tcp(atLeast(0.9), 'network cards, carrier vxlan / plain'),
  'P1.nic.option': tcp(noGoal, 'network cards, carrier option / plain'),
  'P2.twohosts': rr(atMost(0.9), 'two hosts / plain'),
  'P2.samehost': rr(atMost(0.9), 'one host / plain'),
  'P2.bridge': rr(atMost(1.12), 'two hosts, fast path off / plain'),
  'P2.vxlan': rr(aheadOf.less, 'two hosts / VXLAN'),
  'P3.twohosts': pps(atLeast(1.2), 'two hosts / plain'),
  'P3.samehost': pps(atLeast(1.2), 'one host / plain'),
  'P3.bridge': pps(atLeast(0.9), 'two hosts, fast path off / plain'),
  'P3.vxlan': pps(aheadOf.more, 'two hosts / VXLAN'),
  'P4.tcp': tcp(atLeast(0.9), 'userland plane / C loop'),
  'P4.pps': pps(atLeast(0.9), 'userland plane / C loop'),
  // What userland costs at all: for information.
  'P4.plain': tcp({ op: '>', bound: 0 }, 'userland plane / plain'),
  'P4.flows.rr': rr(atMost(1.1), 'established, userland sees first packets only / plain'),
  'P4.flows.connections': connections(atLeast(0.5), 'userland sees first packets only / plain'),
  'P5.add': cni(atMost(8), 'ADD p50'),
  'P5.del': cni(atMost(8), 'DEL p50'),
  'P5.add.port': cni(atMost(14), 'ADD p50, one published port'),
  'P5.del.port': cni(atMost(14), 'DEL p50, one published port'),
  'P5.add.8': cni(belowBaseline, 'ADD p50, 8 at once'),
  'P5.add.64': cni(belowBaseline, 'ADD p50, 64 at once'),
  'P7.in.10Mbit': held('10 Mbit/s in'),
  'P7.in.100Mbit': held('100 Mbit/s in'),
  'P7.in.1Gbit': held('1 Gbit/s in'),
  'P7.in.5Gbit': held('5 Gbit/s in'),
  'P7.out.10Mbit': held('10 Mbit/s out'),
  'P7.out.100Mbit': held('100 Mbit/s out'),
  'P7.out.1Gbit': held('1 Gbit/s out'),
  'P7.out.5Gbit': held('5 Gbit/s out'),
  'P7.first.10Mbit': firstSecond('10 Mbit/s'),
  'P7.first.100Mbit': firstSecond('100 Mbit/s'),
  'P7.first.1Gbit': firstSecond('1 Gbit/s'),
  'P7.first.5Gbit': firstSecond('5 Gbit/s'),
  'P7.change': { unit: 'ms', goal: atMost(50), title: 'live change under TCP: until the new rate holds' },
  'P7.ping': { unit: 'ms', goal: atMost(40), title: 'ping p95 under saturated 10 Mbit/s' },
  'P7.switch': { unit: 'ms', goal: atMost(500), title: 'switch on 200 containers: until last read-back' },
  'G1.connect': connections(atLeast(0.5), 'guarded / not guarded'),
  'G1.rr': rr(atMost(1.05), 'guarded / not guarded'),
  'G1.tcp': tcp(atLeast(0.95), 'guarded / not guarded'),
  'P10.memory': { unit: 'MB', goal: atMost(90), title: 'netd + tagqueue + storaged, 64 endpoints' },
  'P7.cpu': { unit: 'ratio', goal: exactly(0.05), title: 'CPU time, measured / target, worst of four' },
  'P7.block.bytes': { unit: 'ratio', goal: exactly(0.05), title: 'disk bytes, measured / target, worst way' },
  'P7.block.ops': {
    unit: 'ratio',
    goal: exactly(0.05),
    title: 'disk requests, measured / target, worst way',
  },
  'P8.off.seqread': unlimited('MB/s', 'sequential reads'),
  'P8.off.seqwrite': unlimited('MB/s', 'sequential writes'),
  'P8.off.randread': unlimited('operations/s', 'random reads'),
  'P8.off.randwrite': unlimited('operations/s', 'random writes'),
  'P8.acc.1MB': held('volume, 1 MB/s'),
  'P8.acc.10MB': held('volume, 10 MB/s'),
  'P8.acc.100MB': held('volume, 100 MB/s'),
  'P8.acc.100ops': held('volume, 100 operations/s'),
  'P8.acc.1000ops': held('volume, 1000 operations/s'),
  'P8.acc.5000ops': held('volume, 5000 operations/s'),
  'P8.two': held('two containers on one volume, 5 and 20 MB/s'),
  'P8.create.one.first': volumeMs(atMost(2_000), 'one node, first volume: create to mounted'),
  'P8.create.one.later': volumeMs(atMost(2_000), 'one node, a later volume: create to mounted'),
  'P8.create.four.first': volumeMs(atMost(2_000), 'four nodes, first volume: create to mounted'),
  'P8.create.four.later': volumeMs(atMost(2_000), 'four nodes, a later volume: create to mounted'),
  'P8.kill': volumeMs(noGoal, "a brick's process killed: longest write"),
  'P8.cut': volumeMs(noGoal, 'a host cut off: longest write'),
  'P8.heal': volumeMs(noGoal, 'a host missed 1 GiB: from its return until all is healed'),
  'P8.many.ready': volumeMs(noGoal, '50 volumes, one after the other: until all are ready'),
  'P8.many.memory': { unit: 'MB', goal: noGoal, title: "50 volumes on one node: Gluster's memory for each" },
  'P8.many.status': volumeMs(noGoal, '50 volumes: gluster volume status all detail'),
  'P8.many.list': volumeMs(noGoal, '50 volumes: sluice volume list'),
  'P8.client.median': volumeMs(atMost(1_000), "a client killed: until the container's path works"),
  'P8.client.worst': volumeMs(atMost(1_000), 'a client killed: until the path works, the worst of 20'),
  'R1.rotation': lost('option'),
  'R1.rotation.vxlan': lost('vxlan'),
} as const satisfies Record<string, RowKind>;

export type RowId = keyof typeof ROWS;
const IDS = Object.keys(ROWS) as RowId[];

export const isRowId = (id: string): id is RowId => Object.hasOwn(ROWS, id);

/** Rows that have a name already, but need parts of the system that are not there. */
const LATER: Readonly<Record<string, string>> = {
  P6: 'it belongs to the agent',
  P9: 'it belongs to the scheduler',
};

/**
 * @param words  ids such as `P1.twohosts`, or the beginning of several, such as `P1`
 * @returns the rows meant, in the order of the catalogue; all of them for no words
 * @throws SluiceError `invalid_request` for a word that means no row
 */
export function chooseRows(words: readonly string[]): RowId[] {
  if (words.length === 0) return IDS;
  const chosen = new Set(words.flatMap(rowsOf));
  return IDS.filter((id) => chosen.has(id));
}

function rowsOf(word: string): RowId[] {
  if (isRowId(word)) return [word];
  const found = IDS.filter((id) => id.startsWith(`${word}.`));
  if (found.length > 0) return found;
  const later = Object.keys(LATER).find((id) => word === id || word.startsWith(`${id}.`));
  const why = later === undefined ? 'there is no such benchmark' : `cannot be measured yet: ${LATER[later]}`;
  throw new SluiceError('invalid_request', `${JSON.stringify(word)}: ${why}`, `known are ${IDS.join(', ')}`);
}

export function goalText(goal: Goal): string {
  return goal.op === '±' ? `${goal.bound}±${goal.within}` : `${goal.op}${goal.bound}`;
}

export function isMet(goal: Goal, value: number, baseline: number | undefined): boolean {
  const limit = goal.bound === 'baseline' ? baseline : goal.bound;
  if (limit === undefined) return false;
  switch (goal.op) {
    case '±':
      return Math.abs(value - limit) <= goal.within;
    case '>=':
      return value >= limit;
    case '<=':
      return value <= limit;
    case '>':
      return value > limit;
    case '<':
      return value < limit;
  }
}
