/**
 * The guard's part of the node's table: which containers' new flows are judged first, and by which addresses
 * tenants leave. What nobody has vouched for loses its tenant's mark, which leads it into the guard's queue; whatever
 * comes out of there without a mark, or never went there, is refused (docs/guard.md).
 */
import { type Endpoint, nicOf } from '../model/endpoint.ts';
import { type Egress, parsePool } from '../model/guard.ts';
import type { MarkMask } from '../model/mark.ts';
import type { IfName, TenantTag } from '../model/names.ts';
import type { NodeFacts, NodeGuard } from './facts.ts';

export const GUARDED_SET = 'guarded';

export interface GuardRuleset {
  /** Sets and chains. */
  readonly objects: string;
  /** First in the chain of forwarded packets. */
  readonly forward: string;
  /** First in the chain that translates sources. */
  readonly egress: string;
}

export function guardRuleset(
  { guards }: Pick<NodeFacts, 'guards'>,
  markMask: MarkMask,
  externalBridge: IfName,
): GuardRuleset {
  const ours = hex(markMask);
  const others = hex(~markMask >>> 0);
  const leaving = `iifname "${externalBridge}" oifname != "${externalBridge}" ip saddr @${GUARDED_SET}`;
  const unjudged = `ct direction original ct mark & ${ours} == 0`;
  const leavers = [...guards.values()].filter((guard) => guard.egress !== undefined);
  const sets = leavers.map(({ tag }) => `  set ${egressSet(tag)} { type ipv4_addr; }\n`);
  return {
    objects: `
  # External addresses of the containers whose tenants have guard rules.
  set ${GUARDED_SET} { type ipv4_addr; }
${sets.join('')}
  # Right before the queue (mangle, -150), which takes what has no mark.
  chain guard {
    type filter hook forward priority -151; policy accept;
    ${leaving} jump unmark
  }
  chain unmark {
    ct state invalid,untracked drop
    ${unjudged} meta mark set meta mark & ${others}
  }
  # At once, so that programs need not wait for a time-out and try again; silently where nobody would listen.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    drop
  }
`,
    forward: `    ${leaving} ${unjudged} meta mark & ${ours} == 0 jump refuse\n`,
    egress: leavers
      .map(({ tag, egress }) => (egress === undefined ? '' : translation(externalBridge, tag, egress)))
      .join(''),
  };
}

/** Protocols without ports only get the address. */
function translation(externalBridge: IfName, tag: TenantTag, { address, ports }: Egress): string {
  const pool = parsePool(address);
  const to = pool === undefined || pool.first === pool.last ? address : `${pool.first}-${pool.last}`;
  const leaving = `    ip saddr @${egressSet(tag)} oifname != "${externalBridge}"`;
  const withPorts =
    ports === undefined ? '' : `${leaving} meta l4proto { tcp, udp } snat to ${to}:${ports}\n`;
  return `${withPorts}${leaving} snat to ${to}\n`;
}

export function egressSet(tag: TenantTag): string {
  return `egress_${tag}`;
}

/** Puts an endpoint into the sets of its tenant. Repeating it is no error. */
export function guardScript({ table, guards }: NodeFacts, endpoint: Endpoint): string {
  return elements('add', table, guards.get(endpoint.tenant), endpoint);
}

/** Takes an endpoint out of the sets of its tenant, and does not mind when it is in none. */
export function unguardScript({ table, guards }: NodeFacts, endpoint: Endpoint): string {
  const guard = guards.get(endpoint.tenant);
  // Deleting what is not there fails the whole transaction: add first.
  return elements('add', table, guard, endpoint) + elements('delete', table, guard, endpoint);
}

function elements(
  verb: 'add' | 'delete',
  table: string,
  guard: NodeGuard | undefined,
  endpoint: Endpoint,
): string {
  const address = nicOf(endpoint, 'external')?.address;
  if (guard === undefined || address === undefined) return '';
  const sets = [GUARDED_SET, ...(guard.egress === undefined ? [] : [egressSet(guard.tag)])];
  return sets.map((set) => `${verb} element ip ${table} ${set} { ${address} }\n`).join('');
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
