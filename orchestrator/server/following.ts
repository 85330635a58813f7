/** What nodes follow: the cluster and its keys, as one picture or line by line. */
import * as z from 'zod';
import { ClusterNode, ClusterSettings, NamespaceMapping, Tenant } from '../../model/cluster.ts';
import {
  type ClusterDelete,
  ClusterLine,
  type ClusterPut,
  ClusterSnapshot,
} from '../../model/cluster-changes.ts';
import { SluiceError } from '../../model/errors.ts';
import { GuardRules } from '../../model/guard.ts';
import { ClusterKeys } from '../../model/keys.ts';
import { NodeName } from '../../model/names.ts';
import { LimitDefaults, NO_DEFAULTS, TenantPlan } from '../../model/plan.ts';
import { Probe } from '../../model/probe.ts';
import { Switch } from '../../model/switch.ts';
import { Volume } from '../../model/volume.ts';
import type { Page, Store, WatchEvent } from '../../store/contract.ts';
import { withHeartbeat } from './heartbeat.ts';
import { keysToTell } from './key-state.ts';
import { PATHS, records } from './layout.ts';
import { refuseFenced } from './node-fence.ts';
import { type Cluster, type Operation, operation } from './operation.ts';
import type { Principal } from './principal.ts';

/** The clients give a silent connection up after three of these (linux/api-tls.ts). */
const HEARTBEAT_MS = 10_000;

const Watch = z.literal('1').optional();

const followCluster = operation({
  id: 'cluster.follow',
  method: 'GET',
  path: '/v1/cluster',
  summary:
    'The cluster: settings, tenants, nodes, namespaces; with ?watch=1 as a stream of changes behind it.',
  query: z.strictObject({
    watch: Watch,
    /** Only changes after this revision, without the picture; 410 when they are no longer kept. */
    after: z.coerce.number().int().min(0).optional(),
    /** For root, who is no node: whose probes to show. A node always sees its own. */
    node: NodeName.optional(),
  }),
  answer: z.union([z.strictObject({ revision: z.int(), snapshot: ClusterSnapshot }), ClusterLine]),
  handle: async (cluster, { who, query, signal }) => {
    const node = who.role === 'node' ? who.node : query.node;
    if (query.watch === '1') {
      return { stream: whileValid(cluster, who, clusterLines(cluster.store, node, query.after, signal)) };
    }
    return { json: pictureOf(await cluster.store.list(PATHS.view), node) };
  },
});

const followKeys = operation({
  id: 'keys.follow',
  method: 'GET',
  path: '/v1/keys',
  summary: 'The keys of tags; with ?watch=1 again whenever they change.',
  /** For root, who is no node: which node it speaks for. */
  query: z.strictObject({ watch: Watch, node: NodeName.optional() }),
  answer: z.union([ClusterKeys, z.strictObject({ heartbeat: z.int() })]),
  handle: async (cluster, { who, query, signal }) => {
    const node = who.role === 'node' ? who.node : query.node;
    if (query.watch !== '1') return { json: (await keysFor(cluster.store, node)).keys };
    // At once, with a status of its own; a stream that has begun can only end.
    if (node !== undefined) await refuseFenced(cluster.store, node);
    if (node !== undefined) cluster.rotator.presence.opened(node, signal);
    return { stream: whileValid(cluster, who, keyLines(cluster.store, node, signal)) };
  },
});

export const followingOperations: readonly Operation[] = [followCluster, followKeys];

/** Adds heartbeats, and ends the stream once the token it was opened with is gone. */
export async function* whileValid(
  { store }: Cluster,
  who: Principal,
  lines: AsyncIterable<unknown>,
): AsyncGenerator<unknown> {
  let revision = 0;
  const beating = withHeartbeat(lines, HEARTBEAT_MS, () => ({ heartbeat: revision }));
  for await (const line of beating) {
    if (who.role !== 'root' && (await store.get(PATHS.tokens + who.id)) === undefined) throw revoked();
    if (typeof line === 'object' && line !== null && 'revision' in line) revision = Number(line.revision);
    yield line;
  }
}

async function* clusterLines(
  store: Store,
  node: NodeName | undefined,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<ClusterLine> {
  let from = after;
  if (from === undefined) {
    const page = await store.list(PATHS.view);
    yield pictureOf(page, node);
    from = page.revision;
  }
  for await (const event of store.watch(PATHS.view, from, signal)) {
    const line = lineOf(event, node);
    if (line !== undefined) yield line;
  }
}

/** The newest keys, once each; ends with an error as soon as the node is fenced, before it hears of another key. */
async function* keyLines(
  store: Store,
  node: NodeName | undefined,
  signal: AbortSignal,
): AsyncGenerator<ClusterKeys> {
  const { keys, revision } = await keysFor(store, node);
  yield keys;
  let told = JSON.stringify(keys);
  for await (const _ of store.watch(PATHS.keys, revision, signal)) {
    const next = (await keysFor(store, node)).keys;
    const text = JSON.stringify(next);
    if (text !== told) yield next;
    told = text;
  }
}

/** @throws SluiceError `refused` to a node that is fenced */
async function keysFor(store: Store, node: NodeName | undefined): ReturnType<typeof keysToTell> {
  const told = await keysToTell(store);
  // Read after the keys: fencing, and the key that the fenced node must not learn, are written together.
  if (node !== undefined) await refuseFenced(store, node);
  return told;
}

function pictureOf(page: Page, node: NodeName | undefined): { revision: number; snapshot: ClusterSnapshot } {
  const [settings] = records(page, PATHS.settings, ClusterSettings);
  if (settings === undefined) throw new SluiceError('not_ready', 'the cluster is being made', 'try again');
  const snapshot: ClusterSnapshot = {
    settings,
    tenants: records(page, PATHS.tenants, Tenant),
    nodes: records(page, PATHS.nodes, ClusterNode),
    namespaces: records(page, PATHS.namespaces, NamespaceMapping),
    guards: records(page, PATHS.guards, GuardRules),
    plans: records(page, PATHS.plans, TenantPlan),
    limits: records(page, PATHS.limits, LimitDefaults)[0] ?? NO_DEFAULTS,
    switches: records(page, PATHS.switches, Switch),
    volumes: records(page, PATHS.volumes, Volume),
    probes: node === undefined ? [] : records(page, `${PATHS.probes}${node}/`, Probe),
  };
  return { revision: page.revision, snapshot };
}

const KINDS = [
  { kind: 'settings', prefix: PATHS.settings },
  { kind: 'tenant', prefix: PATHS.tenants },
  { kind: 'node', prefix: PATHS.nodes },
  { kind: 'namespace', prefix: PATHS.namespaces },
  { kind: 'guard', prefix: PATHS.guards },
  { kind: 'plan', prefix: PATHS.plans },
  { kind: 'limits', prefix: PATHS.limits },
  { kind: 'switch', prefix: PATHS.switches },
  { kind: 'volume', prefix: PATHS.volumes },
  { kind: 'probe', prefix: PATHS.probes },
] as const;

/** @returns undefined for what this reader does not follow: other nodes' probes. */
function lineOf(event: WatchEvent, node: NodeName | undefined): ClusterLine | undefined {
  const found = KINDS.find(({ prefix }) => event.key.startsWith(prefix));
  if (found === undefined) return undefined;
  if (found.kind === 'probe' && !event.key.startsWith(`${PATHS.probes}${node ?? ''}/`)) return undefined;
  if (event.type === 'put') {
    return { revision: event.revision, put: { kind: found.kind, value: event.value } as ClusterPut };
  }
  if (found.kind === 'settings' || found.kind === 'limits') return undefined;
  const name = event.key.slice(event.key.lastIndexOf('/') + 1);
  return { revision: event.revision, delete: { kind: found.kind, name } satisfies ClusterDelete };
}

function revoked(): SluiceError {
  return new SluiceError(
    'unauthenticated',
    'the token of this stream was revoked or has expired',
    'take a new token',
  );
}
