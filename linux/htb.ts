/**
 * Trees of rates: HTB with a TBF in each leaf (linux/pkt_sched.h; net/sched/sch_htb.c, sch_tbf.c). The TBF does not
 * limit: it cuts packets that are too large for a low rate, and bounds the queue in bytes.
 */
import { ignoring } from './links.ts';
import {
  attribute,
  cString,
  type Netlink,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  nested,
  parseAttributes,
  text,
  u32,
} from './netlink.ts';
import { tcmsg } from './tc-message.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTCLASS = 40;
const RTM_DELTCLASS = 41;
const RTM_GETTCLASS = 42;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_STATS2 = 7;
const TCA_STATS_BASIC = 1;
const TCA_STATS_QUEUE = 3;
const TCA_HTB_PARMS = 1;
const TCA_HTB_INIT = 2;
const TCA_HTB_DIRECT_QLEN = 5;
const TCA_HTB_RATE64 = 6;
const TCA_HTB_CEIL64 = 7;
const TCA_TBF_PARMS = 1;
const TCA_TBF_RATE64 = 4;
const TCA_TBF_BURST = 6;

const TC_H_ROOT = 0xffff_ffff;
const ROOT_HANDLE = 0x0001_0000;
const HTB_VERSION = 3;
const RATE_TO_QUANTUM = 10;
/** No rate tables are wanted then (net/sched/sch_htb.c, htb_change_class). */
const TC_LINKLAYER_ETHERNET = 1;
/** The kernel's unit of time in requests (PSCHED_SHIFT in include/net/pkt_sched.h). */
const TICK_NS = 64;
const LARGEST_U32 = 0xffff_ffff;

/** A class by the lower half of its id, which is never 0. Rates in bytes a second. */
export interface HtbClass {
  readonly minor: number;
  /** Undefined: right below the tree's root. */
  readonly parent: number | undefined;
  /** What it is always given. */
  readonly rate: number;
  /** What it may take while its parent has something left. */
  readonly ceil: number;
}

export interface HtbClassChange extends HtbClass {
  /** Bytes that it may save up while idle, of its rate and of its ceiling. */
  readonly burst: number;
  readonly ceilBurst: number;
  /** Bytes in turn, where classes divide what is left. */
  readonly quantum: number;
}

export interface ListedClass extends HtbClass {
  /** Handle of the qdisc in the leaf; 0: it has none. */
  readonly leaf: number;
  readonly bytes: number;
  readonly packets: number;
  readonly dropped: number;
  readonly overlimits: number;
  /** Bytes that wait. */
  readonly backlog: number;
}

/** The queue in a leaf. */
export interface LeafQueue {
  /** Bytes a second, large enough to limit nothing. The kernel keeps it exactly. */
  readonly rate: bigint;
  /** Packets of several segments that are longer than this are cut; any other is refused. Bytes. */
  readonly longest: number;
  /** Bytes. */
  readonly limit: number;
}

export interface ListedQdisc {
  readonly ifindex: number;
  readonly kind: string;
  readonly handle: number;
  readonly root: boolean;
  /** Of a tree: whether it drops what names no class. */
  readonly shut: boolean;
  /** Of a TBF. How long packets may be cannot be read. */
  readonly queue: Omit<LeafQueue, 'longest'> | undefined;
  readonly dropped: number;
}

const classId = (minor: number | undefined): number =>
  minor === undefined ? ROOT_HANDLE : ROOT_HANDLE | minor;

/**
 * Makes an interface's egress a tree, without classes yet. A packet that names no class of it is dropped: the queue
 * for such packets has no room. Repeating it is no error.
 */
export async function addHtb(netlink: Netlink, ifindex: number): Promise<void> {
  const init = Buffer.concat([HTB_VERSION, RATE_TO_QUANTUM, 0, 0, 0].map(u32));
  const options = nested(TCA_OPTIONS, attribute(TCA_HTB_INIT, init), attribute(TCA_HTB_DIRECT_QLEN, u32(0)));
  const payload = Buffer.concat([
    tcmsg(ifindex, ROOT_HANDLE, TC_H_ROOT, 0),
    attribute(TCA_KIND, text('htb')),
    options,
  ]);
  await ignoring(
    'EEXIST',
    netlink.request(`add a tree to link ${ifindex}`, RTM_NEWQDISC, payload, NLM_F_CREATE | NLM_F_EXCL),
  );
}

/** Takes whatever qdisc somebody has put in the tree's place off the interface. */
export async function removeRootQdisc(netlink: Netlink, ifindex: number): Promise<void> {
  const request = netlink.request(
    `remove the root qdisc of link ${ifindex}`,
    RTM_DELQDISC,
    tcmsg(ifindex, 0, TC_H_ROOT, 0),
  );
  await ignoring('ENOENT', ignoring('EINVAL', request));
}

/** Makes a class or changes one; what waits in it goes on waiting. A class keeps its parent for ever. */
export async function setClass(netlink: Netlink, ifindex: number, change: HtbClassChange): Promise<void> {
  const { minor, parent, rate, ceil, burst, ceilBurst, quantum } = change;
  const parms = Buffer.concat([
    rateSpec(BigInt(rate)),
    rateSpec(BigInt(ceil)),
    u32(ticks(burst, rate)),
    u32(ticks(ceilBurst, ceil)),
    u32(quantum),
    u32(0),
    u32(0),
  ]);
  const options = nested(
    TCA_OPTIONS,
    attribute(TCA_HTB_PARMS, parms),
    attribute(TCA_HTB_RATE64, u64(BigInt(rate))),
    attribute(TCA_HTB_CEIL64, u64(BigInt(ceil))),
  );
  const payload = Buffer.concat([
    tcmsg(ifindex, classId(minor), classId(parent), 0),
    attribute(TCA_KIND, text('htb')),
    options,
  ]);
  await netlink.request(`set class ${minor} of link ${ifindex}`, RTM_NEWTCLASS, payload, NLM_F_CREATE);
}

/** One that is gone already is no error. What waits in it is dropped. */
export async function removeClass(netlink: Netlink, ifindex: number, minor: number): Promise<void> {
  const payload = tcmsg(ifindex, classId(minor), 0, 0);
  const request = netlink.request(`remove class ${minor} of link ${ifindex}`, RTM_DELTCLASS, payload);
  await ignoring('ENOENT', request);
}

/** Gives a leaf its queue, or changes it; what waits there goes on waiting. */
export async function setLeafQueue(
  netlink: Netlink,
  ifindex: number,
  minor: number,
  { rate, longest, limit }: LeafQueue,
): Promise<void> {
  const parms = Buffer.concat([rateSpec(rate), rateSpec(0n), u32(limit), u32(0), u32(0)]);
  const options = nested(
    TCA_OPTIONS,
    attribute(TCA_TBF_PARMS, parms),
    attribute(TCA_TBF_RATE64, u64(rate)),
    attribute(TCA_TBF_BURST, u32(longest)),
  );
  const payload = Buffer.concat([
    tcmsg(ifindex, 0, classId(minor), 0),
    attribute(TCA_KIND, text('tbf')),
    options,
  ]);
  const what = `set the queue of class ${minor} of link ${ifindex}`;
  await netlink.request(what, RTM_NEWQDISC, payload, NLM_F_CREATE | NLM_F_REPLACE);
}

/** All classes of an interface's tree. */
export async function listClasses(netlink: Netlink, ifindex: number): Promise<ListedClass[]> {
  const found = await netlink.dump(
    `list the classes of link ${ifindex}`,
    RTM_GETTCLASS,
    tcmsg(ifindex, 0, 0, 0),
  );
  return found.flatMap((data) => classOf(data) ?? []);
}

/** The qdiscs of all interfaces of the namespace. */
export async function listQdiscs(netlink: Netlink): Promise<ListedQdisc[]> {
  return (await netlink.dump('list the qdiscs', RTM_GETQDISC, tcmsg(0, 0, 0, 0))).map(qdiscOf);
}

/** Whether it is a tree as `addHtb` makes it. */
export function isOurTree({ kind, handle, root, shut }: ListedQdisc): boolean {
  return root && kind === 'htb' && handle === ROOT_HANDLE && shut;
}

function classOf(data: Buffer): ListedClass | undefined {
  const attributes = parseAttributes(data.subarray(20));
  if (cString(attributes.get(TCA_KIND) ?? Buffer.alloc(0)) !== 'htb') return undefined;
  const options = parseAttributes(attributes.get(TCA_OPTIONS) ?? Buffer.alloc(0));
  const parms = options.get(TCA_HTB_PARMS);
  if (parms === undefined) return undefined;
  const parent = data.readUInt32LE(12);
  return {
    minor: data.readUInt32LE(8) & 0xffff,
    parent: parent === TC_H_ROOT ? undefined : parent & 0xffff,
    rate: Number(rateIn(parms, 0, options.get(TCA_HTB_RATE64))),
    ceil: Number(rateIn(parms, 12, options.get(TCA_HTB_CEIL64))),
    leaf: data.readUInt32LE(16),
    ...statisticsIn(attributes),
  };
}

function qdiscOf(data: Buffer): ListedQdisc {
  const attributes = parseAttributes(data.subarray(20));
  const kind = cString(attributes.get(TCA_KIND) ?? Buffer.alloc(0));
  const options = parseAttributes(attributes.get(TCA_OPTIONS) ?? Buffer.alloc(0));
  const parms = kind === 'tbf' ? options.get(TCA_TBF_PARMS) : undefined;
  const rate = parms && rateIn(parms, 0, options.get(TCA_TBF_RATE64));
  return {
    ifindex: data.readInt32LE(4),
    kind,
    handle: data.readUInt32LE(8),
    root: data.readUInt32LE(12) === TC_H_ROOT,
    shut: kind === 'htb' && options.get(TCA_HTB_DIRECT_QLEN)?.readUInt32LE(0) === 0,
    queue: parms && rate !== undefined ? { rate, limit: parms.readUInt32LE(24) } : undefined,
    dropped: statisticsIn(attributes).dropped,
  };
}

/** struct gnet_stats_basic and gnet_stats_queue (linux/gen_stats.h). */
function statisticsIn(
  attributes: ReadonlyMap<number, Buffer>,
): Pick<ListedClass, 'bytes' | 'packets' | 'dropped' | 'overlimits' | 'backlog'> {
  const all = parseAttributes(attributes.get(TCA_STATS2) ?? Buffer.alloc(0));
  const [basic, queue] = [all.get(TCA_STATS_BASIC), all.get(TCA_STATS_QUEUE)];
  return {
    bytes: Number(basic?.readBigUInt64LE(0) ?? 0n),
    packets: basic?.readUInt32LE(8) ?? 0,
    backlog: queue?.readUInt32LE(4) ?? 0,
    dropped: queue?.readUInt32LE(8) ?? 0,
    overlimits: queue?.readUInt32LE(16) ?? 0,
  };
}

/** struct tc_ratespec: the rate's lower 32 bits at most, the whole of it stands in an attribute. */
function rateSpec(rate: bigint): Buffer {
  const out = Buffer.alloc(12);
  out.writeUInt8(TC_LINKLAYER_ETHERNET, 1);
  out.writeUInt32LE(Number(rate > LARGEST_U32 ? LARGEST_U32 : rate), 8);
  return out;
}

function rateIn(parms: Buffer, at: number, whole: Buffer | undefined): bigint {
  return whole?.readBigUInt64LE(0) ?? BigInt(parms.readUInt32LE(at + 8));
}

/** How long a rate (bytes a second) takes for as many bytes. */
function ticks(bytes: number, rate: number): number {
  return Math.min(LARGEST_U32, Math.max(1, Math.ceil((bytes * 1e9) / rate / TICK_NS)));
}

function u64(value: bigint): Buffer {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(value);
  return out;
}
