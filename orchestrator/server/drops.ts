/** What the nodes' fences refuse: reported by each node, kept in memory for a while, shown to whom it concerns. */
import * as z from 'zod';
import { Tenant } from '../../model/cluster.ts';
import { DropEvent, type DropFilter, DropReport, isWanted } from '../../model/drop.ts';
import { SluiceError } from '../../model/errors.ts';
import { NodeName, TenantName, type TenantTag } from '../../model/names.ts';
import { createRecent, type Recent } from '../../model/recent.ts';
import type { Store } from '../../store/contract.ts';
import { createFeed, type Feed } from '../../tagqueue/feed.ts';
import { whileValid } from './following.ts';
import { PATHS, read } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import type { Principal } from './principal.ts';
import { notYours } from './tenants.ts';

/** A server's memory of them; a restart begins anew, the nodes have their own. */
export interface DropLog {
  readonly recent: Recent<DropEvent>;
  readonly feed: Feed<DropEvent>;
}

/** At most some 12 MB; a flood against one tenant takes only that tenant's room. */
const KEPT_PER_TENANT = 200;
const TENANTS_KEPT = 100;

export function createDropLog(): DropLog {
  return { recent: createRecent(KEPT_PER_TENANT, TENANTS_KEPT), feed: createFeed() };
}

export function dropOperations(log: DropLog): readonly Operation[] {
  return [reportTo(log), listOf(log)];
}

function reportTo({ recent, feed }: DropLog): Operation {
  return operation({
    id: 'drops.report',
    method: 'POST',
    path: '/v1/nodes/:node/drops',
    summary: 'Tells what a node has refused lately.',
    params: z.strictObject({ node: NodeName }),
    body: DropReport,
    answer: z.undefined(),
    status: 204,
    handle: async ({ store }, { who, params: { node }, body }) => {
      // On the server's own machine the node speaks as root.
      if (who.role === 'node' && who.node !== node) throw notThisNode(node);
      const events = await attributed(store, node, body.events);
      for (const event of events) recent.add(event.tenant ?? '', event);
      feed.offer(events);
      return { json: undefined };
    },
  });
}

function listOf({ recent, feed }: DropLog): Operation {
  return operation({
    id: 'drops.list',
    method: 'GET',
    path: '/v1/drops',
    summary:
      'Packets refused lately, oldest first; with ?watch=1 those from now on. A tenant sees only its own.',
    query: z.strictObject({
      tenant: TenantName.optional(),
      reason: z.string().max(64).optional(),
      limit: z.coerce.number().int().min(1).max(1_000).default(100),
      watch: z.literal('1').optional(),
    }),
    answer: z.union([
      z.strictObject({ items: z.array(DropEvent) }),
      DropEvent,
      z.strictObject({ missed: z.int() }),
      z.strictObject({ heartbeat: z.int() }),
    ]),
    handle: async (cluster, { who, query, signal }) => {
      const filter = filterFor(who, query);
      const wants = (event: DropEvent): boolean => isWanted(event, filter);
      if (query.watch === '1') return { stream: whileValid(cluster, who, feed.follow(signal, wants)) };
      const events = filter.tenant === undefined ? recent.all() : recent.of(filter.tenant);
      return { json: { items: events.filter(wants).slice(-query.limit) } };
    },
  });
}

/** What a tenant asks for can only narrow what it may see. */
function filterFor(
  who: Principal,
  { tenant, reason }: { tenant?: TenantName | undefined; reason?: string | undefined },
): DropFilter {
  if (who.role !== 'tenant') return { tenant, reason };
  if (tenant !== undefined && tenant !== who.tenant) throw notYours(tenant);
  return { tenant: who.tenant, reason };
}

/** Whose a packet was is the server's to say: by the tag, not by the name that a node had for it. */
async function attributed(store: Store, node: NodeName, events: readonly DropEvent[]): Promise<DropEvent[]> {
  const tags = new Map<TenantName, TenantTag | undefined>();
  for (const { tenant } of events) {
    if (tenant === null || tags.has(tenant)) continue;
    tags.set(tenant, (await read(store, PATHS.tenants + tenant, Tenant))?.tag);
  }
  return events.map((event) => {
    const known = event.tenant !== null && tags.get(event.tenant) === event.tag;
    return { ...event, node, tenant: known ? event.tenant : null };
  });
}

function notThisNode(node: NodeName): SluiceError {
  return new SluiceError(
    'refused',
    `only node ${node} tells what it has refused`,
    'a node reports for itself',
  );
}
