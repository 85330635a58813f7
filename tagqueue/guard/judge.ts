/** All tenants' flows together: from a queued packet to what becomes of it, and what there is to tell of it. */

import type { HeaderSummary } from '../../model/drop.ts';
import type { TenantTag } from '../../model/names.ts';
import { ETHERTYPE_IPV4 } from '../drop-record.ts';
import type { PortBinding } from '../maps.ts';
import type { Decided, FromWorker, RefusedFlow, TenantRules } from './messages.ts';
import { MOST_REFUSED_TOLD } from './messages.ts';
import { type GuardedPacket, readGuardedPacket, TCP } from './packet.ts';
import { compilePolicy } from './policy.ts';
import { type Judgement, TenantFlows } from './tenant-flows.ts';

/** What the kernel is told. */
export interface Ruling {
  /** `refuse` lets the kernel answer with a reset; `drop` says nothing. */
  readonly do: 'release' | 'pass' | 'refuse' | 'drop';
  /** The mark of the tenant; only where the packet passes. */
  readonly mark: number;
}

interface Tenant {
  /** The rules as they were told, to know whether they have changed. */
  readonly text: string;
  readonly flows: TenantFlows;
}

const DROP: Ruling = { do: 'drop', mark: 0 };
const REFUSE: Ruling = { do: 'refuse', mark: 0 };

/** Combinations of tenant and rule that are told apart in one report. */
const MOST_COUNTS = 4_096;

export class Judge {
  readonly #holderOf: (address: GuardedPacket['source'], now: number) => PortBinding | undefined;
  readonly #tenants = new Map<TenantTag, Tenant>();
  #counts = new Map<string, Decided>();
  #refused: RefusedFlow[] = [];
  #refusedPackets = new Map<TenantTag, number>();

  constructor(holderOf: (address: GuardedPacket['source'], now: number) => PortBinding | undefined) {
    this.#holderOf = holderOf;
  }

  /** Tenants whose rules are as before keep what was counted. */
  setRules(all: readonly TenantRules[]): void {
    const wanted = new Set(all.map(({ tag }) => tag));
    for (const tag of this.#tenants.keys()) if (!wanted.has(tag)) this.#tenants.delete(tag);
    for (const { tag, rules } of all) {
      const text = JSON.stringify(rules);
      if (this.#tenants.get(tag)?.text === text) continue;
      this.#tenants.set(tag, { text, flows: new TenantFlows(compilePolicy(rules)) });
    }
  }

  /** @param keys  of a tenant's released flows, as they were at `at` (ms of the judge's clock) */
  setFlows(tag: TenantTag, keys: readonly string[], at: number, now: number): void {
    const flows = this.#tenants.get(tag)?.flows;
    if (flows === undefined) return;
    flows.retain(new Set(keys), at);
    for (const key of keys) flows.adopt(key, now);
  }

  /**
   * @param bytes  an IPv4 packet that a container sends to the outside, whole or its beginning
   * @param now    ms, of a clock that never goes back
   * @param at     the same moment as Unix time
   */
  judge(bytes: Buffer, now: number, at: number): Ruling {
    const packet = readGuardedPacket(bytes);
    const holder = packet && this.#holderOf(packet.source, now);
    if (packet === undefined || holder === undefined) return DROP;
    const tenant = this.#tenants.get(holder.tag);
    if (tenant === undefined) return { do: 'release', mark: holder.mark };
    const judgement = tenant.flows.judge(packet, now);
    if (judgement.decided !== undefined) this.#count(holder, packet, judgement.decided, bytes.length, at);
    if (judgement.outcome !== 'refuse') return { do: judgement.outcome, mark: holder.mark };
    this.#refusedPackets.set(holder.tag, (this.#refusedPackets.get(holder.tag) ?? 0) + 1);
    return packet.protocol === TCP ? REFUSE : DROP;
  }

  /** Forgets what has become old. */
  expire(now: number): void {
    for (const { flows } of this.#tenants.values()) flows.expire(now);
  }

  /** What happened since the last report. */
  report(): Extract<FromWorker, { readonly kind: 'report' }> {
    const decided = [...this.#counts.values()];
    const refused = this.#refused;
    const refusedPackets = [...this.#refusedPackets].map(([tag, packets]) => ({ tag, packets }));
    this.#counts = new Map();
    this.#refused = [];
    this.#refusedPackets = new Map();
    const held = { beginnings: 0, beginningBytes: 0, flows: 0 };
    for (const { flows } of this.#tenants.values()) {
      held.beginnings += flows.held.beginnings;
      held.beginningBytes += flows.held.beginningBytes;
      held.flows += flows.held.holding;
    }
    return { kind: 'report', decided, refusedPackets, refused, held };
  }

  #count(
    { tag, ifindex, mac, gatewayMac }: PortBinding,
    packet: GuardedPacket,
    { verdict, rule, seen }: NonNullable<Judgement['decided']>,
    length: number,
    at: number,
  ): void {
    const key = `${tag} ${verdict} ${rule}`;
    const flows = (this.#counts.get(key)?.flows ?? 0) + 1;
    if (flows > 1 || this.#counts.size < MOST_COUNTS) this.#counts.set(key, { tag, verdict, rule, flows });
    if (verdict === 'allow' || this.#refused.length >= MOST_REFUSED_TOLD) return;
    const header = summaryOf(packet, { sourceMac: mac, destinationMac: gatewayMac });
    this.#refused.push({ at, tag, ifindex, rule, domain: seen?.domain ?? null, length, header });
  }
}

function summaryOf(
  { source, destination, protocol, sourcePort, destinationPort }: GuardedPacket,
  macs: Pick<HeaderSummary, 'sourceMac' | 'destinationMac'>,
): HeaderSummary {
  return {
    ...macs,
    ...{ etherType: ETHERTYPE_IPV4, source, destination, protocol },
    ...(sourcePort !== 0 && { sourcePort, destinationPort }),
  };
}
