/** What the plane refused: exact totals, and packet by packet the last of each tenant, for whoever asks or follows. */
import { type BpfMap, mapEntries, sumPerCpu } from '../linux/bpf.ts';
import { interfaceName } from '../linux/interface-name.ts';
import type { RingReader } from '../linux/ring.ts';
import type { DropEvent, MissedEvents } from '../model/drop.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { IfName, NodeName, TenantName } from '../model/names.ts';
import { createRecent } from '../model/recent.ts';
import type { DropNames } from './drop-names.ts';
import { type DropRecord, decodeDrop } from './drop-record.ts';
import { createFeed } from './feed.ts';
import { decodeTenantReason } from './maps.ts';
import { DROP_REASONS, type DropReason, meaningOfReason, numberOfReason } from './reasons.ts';

export interface DropCount {
  readonly reason: DropReason;
  readonly meaning: string;
  readonly packets: number;
  /** Whose they were. Tag 0: nobody's; null: a tenant that this node does not know (any more). */
  readonly tenants: readonly TenantCount[];
}

export interface TenantCount {
  readonly tag: number;
  readonly tenant: TenantName | null;
  readonly packets: number;
}

/** @param drops, counts  the maps `drops` and `drop_counts` */
export function countDrops(
  drops: BpfMap,
  counts: BpfMap,
  tenantOf: (tag: number) => TenantName | null,
): DropCount[] {
  const byTenant = Map.groupBy(mapEntries(counts), ([key]) => decodeTenantReason(key).reason);
  return DROP_REASONS.map((reason) => {
    const number = numberOfReason(reason);
    const tenants = (byTenant.get(number) ?? []).map(([key, value]) => {
      const { tag } = decodeTenantReason(key);
      return { tag, tenant: tenantOf(tag), packets: Number(value.readBigUInt64LE()) };
    });
    return { reason, meaning: meaningOfReason(reason), packets: Number(sumPerCpu(drops, number)), tenants };
  });
}

/** The programs wake nobody; a ring that holds 2,700 records is emptied so often, flood or not. */
const POLL_MS = 100;
/** Each some 600 bytes: 5 MB at most, and that only while 128 tenants cause trouble at once. */
const KEPT_PER_TENANT = 64;
const TENANTS_KEPT = 128;

export interface DropLog {
  /** The last ones of each tenant, oldest first. */
  recent(): DropEvent[];
  /** Those from now on; ends with the signal. */
  follow(
    signal: AbortSignal,
    wants?: (event: DropEvent) => boolean,
  ): AsyncGenerator<DropEvent | MissedEvents>;
  /** Takes in what others than the programs have refused. */
  add(events: readonly DropEvent[]): void;
  close(): void;
}

export interface DropLogOptions {
  readonly node: NodeName;
  /** Of what the plane refuses; closed with the log. */
  readonly records: RingReader;
  readonly names: DropNames;
  readonly log: Log;
}

/** Reads from now on; what was refused before is counted only. */
export function openDropLog({ node, records: ring, names, log }: DropLogOptions): DropLog {
  const recent = createRecent<DropEvent>(KEPT_PER_TENANT, TENANTS_KEPT);
  const feed = createFeed<DropEvent>();
  let busy = false;

  function add(events: readonly DropEvent[]): void {
    for (const event of events) recent.add(event.tag, event);
    feed.offer(events);
  }
  async function pass(): Promise<void> {
    if (busy) return;
    busy = true;
    try {
      await read(ring, node, names, add);
    } catch (error) {
      log.error({ reason: asSluiceError(error).message }, 'refused packets cannot be read');
    } finally {
      busy = false;
    }
  }

  ring.consume();
  const timer = setInterval(() => void pass(), POLL_MS);
  return {
    recent: () => recent.all(),
    follow: (signal, wants) => feed.follow(signal, wants),
    add,
    close: () => {
      clearInterval(timer);
      ring[Symbol.dispose]();
    },
  };
}

async function read(
  ring: RingReader,
  node: NodeName,
  names: DropNames,
  add: (events: readonly DropEvent[]) => void,
): Promise<void> {
  const records = ring.consume().map(decodeDrop);
  if (records.length === 0) return;
  const interfaces = new Map<number, IfName | undefined>();
  const onPorts = new Set<IfName>();
  for (const { ifindex, hook } of records) {
    if (!interfaces.has(ifindex)) interfaces.set(ifindex, interfaceName(ifindex));
    const name = interfaces.get(ifindex);
    if (name !== undefined && hook.startsWith('port')) onPorts.add(name);
  }
  await names.learn(onPorts);
  add(records.map((record) => eventOf(record, node, interfaces.get(record.ifindex), names)));
}

function eventOf(
  { monotonicNs, header, ...record }: DropRecord,
  node: NodeName,
  name: IfName | undefined,
  names: DropNames,
): DropEvent {
  const agoMs = Number(process.hrtime.bigint() - monotonicNs) / 1e6;
  return {
    time: new Date(Date.now() - agoMs).toISOString(),
    node,
    ...record,
    tenant: names.tenantOf(record.tag),
    container: names.containerOf(name),
    ...(name !== undefined && { interface: name }),
    ...(header !== undefined && { header }),
  };
}
