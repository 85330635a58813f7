/**
 * Decides how a tree of rates becomes what it should be. Below the root a class for each tenant with a limited port,
 * below it a leaf for each such port. Pure.
 *
 * The kernel remembers all that is wanted, to the bit: a leaf's own rate stands in the rate of its queue, which limits
 * nothing; whether a tenant's ports borrow, in the last byte of his class's ceiling, which his class cannot use.
 */
import type { HtbClassChange, LeafQueue } from '../../linux/htb.ts';
import type { TenantName } from '../../model/names.ts';
import { shapeOf, UNLIMITED_RATE } from './shape.ts';

/** A tenant's share of a tree. Bits a second, null: unlimited. */
export interface TenantShare {
  readonly aggregate: number | null;
  readonly borrow: boolean;
}

export interface WantedPort {
  readonly ifindex: number;
  readonly tenant: TenantName;
  /** Bits a second; null: only the tenant's share limits it. */
  readonly rate: number | null;
}

export interface WantedTree {
  readonly ports: readonly WantedPort[];
  readonly tenants: ReadonlyMap<TenantName, TenantShare>;
  /** Of the containers' interfaces, bytes. */
  readonly mtu: number;
}

export interface ObservedClass {
  readonly minor: number;
  /** Undefined: a tenant's class. */
  readonly parent: number | undefined;
  /** Bytes a second. */
  readonly rate: number;
  readonly ceil: number;
  /** Of a port's class. */
  readonly queue: Pick<LeafQueue, 'rate' | 'limit'> | undefined;
}

export interface ObservedTree {
  /** Whether the tree itself is there. */
  readonly root: boolean;
  readonly classes: ReadonlyMap<number, ObservedClass>;
  /** By interface index, through which class a port is led; 0: none. */
  readonly ports: ReadonlyMap<number, number>;
}

export interface TreePlan {
  readonly plant: boolean;
  readonly classes: readonly HtbClassChange[];
  readonly queues: readonly { readonly minor: number; readonly queue: LeafQueue }[];
  readonly lead: readonly { readonly ifindex: number; readonly minor: number }[];
  /** Classes whose ports are unlimited from now on: opened wide and emptied before the port is led past them. */
  readonly lift: readonly { readonly ifindex: number; readonly minor: number; readonly tenant: number }[];
  /** Classes without a port; leaves before tenants. */
  readonly remove: readonly number[];
}

/**
 * Bytes a second; what is above is the port's own rate in bits. So much that the time of any packet is nought in the
 * kernel's arithmetic: else packets that wait while a rate is lowered, and are longer than may be from then on, would
 * never leave.
 */
const QUEUE_RATE = 2n ** 60n;
const LARGEST_MINOR = 0xffff;

/** The kernel counts whole bytes. */
export const inBytes = (rate: number): number => Math.max(1, Math.floor(rate / 8));

/**
 * @param rate  the port's own, as it is to be remembered
 * @param pace  bits a second at which the queue is likely to be emptied
 */
export function queueOf(rate: number | null, pace: number, mtu: number): LeafQueue {
  const { longest, limit } = shapeOf(pace, mtu);
  return { rate: QUEUE_RATE + BigInt(Math.round(rate ?? 0)), longest, limit };
}

/** What `queueOf` was told. @returns undefined for a queue that is not ours */
export function rateOfQueue(queue: ObservedClass['queue']): number | null | undefined {
  if (queue === undefined || queue.rate < QUEUE_RATE) return undefined;
  return Number(queue.rate - QUEUE_RATE) || null;
}

/** A tenant's class. */
export function shareClass(minor: number, { aggregate, borrow }: TenantShare, mtu: number): HtbClassChange {
  const rate = inBytes(aggregate ?? UNLIMITED_RATE);
  const { burst, quantum } = shapeOf(aggregate ?? UNLIMITED_RATE, mtu);
  const ceil = rate + (borrow ? 1 : 0);
  return { minor, parent: undefined, rate, ceil, burst, ceilBurst: burst, quantum };
}

/**
 * A class whose port is to be unlimited, without a limit, and that of its tenant too where no other port needs it: what
 * waits there leaves at once.
 */
export function openedWide(
  { minor, tenant }: TreePlan['lift'][number],
  remove: readonly number[],
): HtbClassChange[] {
  if (tenant === 0) return [];
  const rate = inBytes(UNLIMITED_RATE);
  const { burst, quantum } = shapeOf(UNLIMITED_RATE, 0);
  const wide = { rate, ceil: rate, burst, ceilBurst: burst, quantum };
  const share = { ...wide, minor: tenant, parent: undefined };
  return [...(remove.includes(tenant) ? [share] : []), { ...wide, minor, parent: tenant }];
}

/** What `shareClass` was told. */
export function shareOf({ rate, ceil }: Pick<ObservedClass, 'rate' | 'ceil'>): TenantShare {
  return { aggregate: rate === inBytes(UNLIMITED_RATE) ? null : rate * 8, borrow: ceil > rate };
}

interface Placed extends WantedPort {
  readonly minor: number;
  readonly parent: number;
}

/** In the order of doing, as the fields of a plan stand. Empty when all is as it should be. */
export function planTree(wanted: WantedTree, observed: ObservedTree): TreePlan {
  const { classes: present, root } = observed;
  const classes: ReadonlyMap<number, ObservedClass> = root ? present : new Map();
  const minors = freeMinors(classes);
  const placed = place(wanted.ports, { ...observed, classes }, minors);
  const leaves = leavesOf(wanted, placed);
  const changes = [...sharesOf(wanted, placed), ...leaves.map(({ change }) => change)];
  const used = new Set(placed.flatMap(({ minor, parent }) => [minor, parent]));
  const wantedPorts = new Set(placed.map(({ ifindex }) => ifindex));
  const lift = [...observed.ports]
    .filter(([ifindex, minor]) => minor !== 0 && !wantedPorts.has(ifindex))
    .map(([ifindex, minor]) => ({ ifindex, minor, tenant: classes.get(minor)?.parent ?? 0 }));
  const rest = [...classes.values()].filter(({ minor }) => !used.has(minor));
  const leavesFirst = rest.sort((a, b) => Number(a.parent === undefined) - Number(b.parent === undefined));
  return {
    plant: !root,
    classes: changes.filter((change) => !sameClass(classes.get(change.minor), change)),
    queues: leaves
      .map(({ change: { minor }, queue }) => ({ minor, queue }))
      .filter(({ minor, queue }) => !sameQueue(classes.get(minor)?.queue, queue)),
    lead: placed
      .filter(({ ifindex, minor }) => observed.ports.get(ifindex) !== minor)
      .map(({ ifindex, minor }) => ({ ifindex, minor })),
    lift,
    remove: leavesFirst.map(({ minor }) => minor),
  };
}

/** Bytes a second: shares are remembered in whole bytes, and parts of them differ by as much. */
const ROUNDING = 16;

/**
 * What ports get whose class somebody else has changed: not what their queues remember.
 * @param remembered  what the tree was told last
 * @returns bits a second, by class
 */
export function strayRates(remembered: WantedTree, observed: ObservedTree): Map<number, number> {
  const differ = (one: number, other: number): boolean => Math.abs(one - other) > ROUNDING;
  const stray = new Map<number, number>();
  for (const { minor, parent, rate, ceil } of planTree(remembered, observed).classes) {
    const present = observed.classes.get(minor);
    if (parent === undefined || present === undefined) continue;
    if (differ(present.ceil, ceil)) stray.set(minor, present.ceil * 8);
    else if (differ(present.rate, rate)) stray.set(minor, present.rate * 8);
  }
  return stray;
}

const UNSHARED: TenantShare = { aggregate: null, borrow: false };
const shareIn = ({ tenants }: WantedTree, tenant: TenantName): TenantShare => tenants.get(tenant) ?? UNSHARED;

/** A port keeps the class that it has, and a tenant the class that his ports are below. */
function place(
  ports: readonly WantedPort[],
  { classes, ports: led }: ObservedTree,
  minors: Iterator<number>,
): Placed[] {
  const parents = new Map<TenantName, number>();
  const claimed = new Set<number>();
  const current = ({ ifindex }: WantedPort): ObservedClass | undefined => classes.get(led.get(ifindex) ?? 0);
  for (const port of ports) {
    const parent = current(port)?.parent;
    if (parent === undefined || claimed.has(parent) || parents.has(port.tenant)) continue;
    parents.set(port.tenant, parent);
    claimed.add(parent);
  }
  const taken = new Set<number>();
  return ports.map((port) => {
    const parent = parents.get(port.tenant) ?? next(minors);
    parents.set(port.tenant, parent);
    const own = current(port);
    const keeps = own?.parent === parent && !taken.has(own.minor);
    const minor = keeps ? own.minor : next(minors);
    taken.add(minor);
    return { ...port, minor, parent };
  });
}

function* freeMinors(classes: ReadonlyMap<number, unknown>): Generator<number, undefined> {
  for (let minor = 1; minor <= LARGEST_MINOR; minor++) if (!classes.has(minor)) yield minor;
}

function next(minors: Iterator<number>): number {
  const { value, done } = minors.next();
  if (done) throw new RangeError(`a tree has at most ${LARGEST_MINOR} classes`);
  return value;
}

function sharesOf(wanted: WantedTree, placed: readonly Placed[]): HtbClassChange[] {
  const byTenant = new Map(placed.map(({ tenant, parent }) => [tenant, parent]));
  return [...byTenant].map(([tenant, minor]) => shareClass(minor, shareIn(wanted, tenant), wanted.mtu));
}

interface Leaf {
  readonly change: HtbClassChange;
  readonly queue: LeafQueue;
}

/**
 * HTB holds a class to its ceiling only with what it has borrowed: what classes are assured they get, even if that is
 * together more than the one above them has. So where the ports of a tenant want more than his share, each is assured
 * its part of it. The ceiling is the port's own rate, or the whole share where ports may borrow.
 */
function leavesOf(wanted: WantedTree, placed: readonly Placed[]): Leaf[] {
  const mostOf = (tenant: TenantName): number => shareIn(wanted, tenant).aggregate ?? UNLIMITED_RATE;
  const wish = ({ rate, tenant }: WantedPort): number => rate ?? mostOf(tenant);
  const wishes = new Map<TenantName, number>();
  for (const port of placed) wishes.set(port.tenant, (wishes.get(port.tenant) ?? 0) + wish(port));
  return placed.map((port) => {
    const { minor, parent, tenant } = port;
    const { aggregate, borrow } = shareIn(wanted, tenant);
    const own = Math.min(wish(port), mostOf(tenant));
    const part = aggregate === null ? 1 : Math.min(1, aggregate / (wishes.get(tenant) ?? aggregate));
    const most = borrow && aggregate !== null ? aggregate : own;
    const [ceil, mtu] = [inBytes(most), wanted.mtu];
    const rate = Math.min(inBytes(wish(port) * part), ceil);
    const { burst, quantum } = shapeOf(own, mtu);
    const ceilBurst = shapeOf(most, mtu).burst;
    return {
      change: { minor, parent, rate, ceil, burst, ceilBurst, quantum },
      // Between what it has for sure and what it may have: neither is it empty too soon nor the wait too long.
      queue: queueOf(port.rate, Math.sqrt(own * most), mtu),
    };
  });
}

function sameClass(present: ObservedClass | undefined, { parent, rate, ceil }: HtbClassChange): boolean {
  if (present === undefined || present.parent !== parent) return false;
  return present.rate === rate && present.ceil === ceil;
}

function sameQueue(present: ObservedClass['queue'], { rate, limit }: LeafQueue): boolean {
  return present !== undefined && present.rate === rate && present.limit === limit;
}
