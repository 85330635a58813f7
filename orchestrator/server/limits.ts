/** Limits as nodes report them, and as operators see them. */
import * as z from 'zod';
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { ContainerLimits, LimitsReport, LimitsReportAnswer, TenantShare } from '../../model/limits-report.ts';
import { NodeName, TenantName } from '../../model/names.ts';
import { mustRead, PATHS } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { PageQuery } from './paging.ts';
import type { Principal } from './principal.ts';
import { notYours } from './tenants.ts';

/** Ten thousand containers in full. */
const REPORT_BYTES = 2 ** 24;

const report = operation({
  id: 'limits.report',
  method: 'POST',
  path: '/v1/nodes/:node/limits',
  summary: "Tells what holds for a node's containers: all of them, or those with news.",
  params: z.strictObject({ node: NodeName }),
  body: LimitsReport,
  bodyBytes: REPORT_BYTES,
  answer: LimitsReportAnswer,
  handle: async ({ store, limits }, { who, params: { node }, body }) => {
    // On the server's own machine the node speaks as root.
    if (who.role === 'node' && who.node !== node) throw notThisNode(node);
    const other = [body.node, ...body.containers.map(({ subject }) => subject.node)].find(
      (one) => one !== node,
    );
    if (other !== undefined) throw notThisNode(other);
    if (!limits.knows(node)) await mustRead(store, PATHS.nodes + node, ClusterNode, `node ${node}`);
    return { json: { whole: limits.take(body) } satisfies LimitsReportAnswer };
  },
});

const Shown = ContainerLimits.extend({
  /** Whether its node has been heard of lately; else these are its last words. */
  reachable: z.boolean(),
});
const ShownShare = TenantShare.extend({ node: NodeName, reachable: z.boolean() });

const list = operation({
  id: 'limits.list',
  method: 'GET',
  path: '/v1/limits',
  summary: 'What nodes have reported of containers and of tenants’ shares. A tenant sees only its own.',
  query: z.strictObject({
    ...PageQuery.shape,
    tenant: TenantName.optional(),
    node: NodeName.optional(),
  }),
  answer: z.strictObject({
    items: z.array(Shown),
    next: z.string().nullable(),
    /** On the first page, all of them. */
    shares: z.array(ShownShare),
  }),
  handle: ({ limits }, { who, query: { limit, after, node, tenant } }) => {
    const whose = tenantFor(who, tenant);
    const nodes = limits.nodes().filter((one) => node === undefined || one.node === node);
    const wanted = (one: { tenant: TenantName }): boolean => whose === undefined || one.tenant === whose;
    const all = nodes
      .flatMap(({ node: at, containers, reachable }) =>
        [...containers].map(([key, one]) => ({ key: `${at}/${key}`, item: { ...one, reachable } })),
      )
      .filter(({ key, item }) => wanted(item.subject) && (after === undefined || key > after))
      .sort((one, two) => (one.key < two.key ? -1 : 1));
    const page = all.slice(0, limit);
    const shares = nodes.flatMap(({ node: at, shares: kept, reachable }) =>
      [...kept.values()].filter(wanted).map((share) => ({ ...share, node: at, reachable })),
    );
    return Promise.resolve({
      json: {
        items: page.map(({ item }) => item),
        next: all.length > page.length ? (page.at(-1)?.key ?? null) : null,
        shares: after === undefined ? shares : [],
      },
    });
  },
});

export const limitOperations: readonly Operation[] = [report, list];

/** What a tenant asks for can only narrow what it may see. */
function tenantFor(who: Principal, asked: TenantName | undefined): TenantName | undefined {
  if (who.role !== 'tenant') return asked;
  if (asked !== undefined && asked !== who.tenant) throw notYours(asked);
  return who.tenant;
}

function notThisNode(node: NodeName): SluiceError {
  return new SluiceError(
    'refused',
    `only node ${node} tells what holds there`,
    'a node reports for itself, in the path and in the body',
  );
}
