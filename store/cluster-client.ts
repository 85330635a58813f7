/** How a node's daemons follow the server: the cluster and the keys of its tags. */
import type * as z from 'zod';
import { ClusterLine, foldLine, type NodeView, snapshotOf, viewOf } from '../model/cluster-changes.ts';
import { ClusterKeys } from '../model/keys.ts';
import type { Log } from '../model/log.ts';
import type { NodeName } from '../model/names.ts';
import type { Store } from './contract.ts';
import { type Followed, follow, type Remember, type StreamSource } from './follow.ts';

export interface FollowingNode {
  /** The server: linux/join.ts nodeClient, or localClient of its socket on its own machine. */
  readonly client: StreamSource;
  /** The daemon's own store: a restart goes on from what it holds, server or not. */
  readonly store: Store;
  readonly node: NodeName;
  readonly signal: AbortSignal;
  readonly log: Log;
}

const CLUSTER_KEY = 'followed/cluster';
const KEYS_KEY = 'followed/keys';

/** The cluster as this node sees it. @throws SluiceError `store_failed` when the store cannot be read */
export function followCluster({
  client,
  store,
  node,
  signal,
  log,
}: FollowingNode): Promise<Followed<NodeView>> {
  const raw = rememberIn(store, CLUSTER_KEY);
  return follow<NodeView>({
    source: client,
    path: `/v1/cluster?watch=1&node=${node}`,
    fold: (view, line) => foldLine(view, ClusterLine.parse(line)),
    remember: {
      load: async () => {
        const kept = readable(await raw.load(), RememberedCluster, log);
        return kept && viewOf(kept.revision, kept.snapshot);
      },
      save: (view) => raw.save({ revision: view.revision, snapshot: snapshotOf(view) }),
    },
    signal,
    log,
  });
}

/** The keys of tags. A node that is fenced hears none. @throws SluiceError `store_failed` when the store cannot be read */
export function followKeys({
  client,
  store,
  node,
  signal,
  log,
}: FollowingNode): Promise<Followed<ClusterKeys>> {
  const raw = rememberIn(store, KEYS_KEY);
  return follow<ClusterKeys>({
    source: client,
    path: `/v1/keys?watch=1&node=${node}`,
    fold: (keys, line) => (isHeartbeat(line) ? keys : ClusterKeys.parse(line)),
    remember: { load: async () => readable(await raw.load(), ClusterKeys, log), save: raw.save },
    signal,
    log,
  });
}

const RememberedCluster = ClusterLine.options[0];

/** One value under one key of a store. */
export function rememberIn(store: Store, key: string): Remember<unknown> {
  return {
    load: async () => (await store.get(key))?.value,
    save: async (value) => {
      await store.txn({ put: [{ key, value }] });
    },
  };
}

/** What another version remembered may not fit: then it is as if nothing had been, until the server answers. */
function readable<S extends z.ZodType>(value: unknown, schema: S, log: Log): z.infer<S> | undefined {
  if (value === undefined) return undefined;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  log.warn({ err: parsed.error }, 'the remembered state cannot be read; waiting for the server');
  return undefined;
}

function isHeartbeat(line: unknown): boolean {
  return typeof line === 'object' && line !== null && 'heartbeat' in line;
}
