/** What tagqueue must know of the cluster, put together from the two streams that tell it. */
import { effectiveCarrier } from '../../model/cluster.ts';
import type { NodeView } from '../../model/cluster-changes.ts';
import { type ClusterKeys, NO_KEYS } from '../../model/keys.ts';
import type { NodeName } from '../../model/names.ts';
import type { Followed } from '../../store/follow.ts';
import type { PlaneSettings } from '../../tagqueue/settings.ts';

/** @returns undefined as long as this node has no block, or nobody has told the keys; a fenced node needs none. */
export function planeSettingsOf(
  node: NodeName,
  view: NodeView | undefined,
  keys: ClusterKeys | undefined,
): PlaneSettings | undefined {
  const self = view?.nodes.get(node);
  if (view === undefined || self === undefined) return undefined;
  const own = self.fenced ? NO_KEYS : keys;
  if (own === undefined) return undefined;
  return {
    internalPool: view.settings.internalPool,
    internalPool6: view.settings.internalPool6,
    ownBlock: self.internalBlock,
    uplinkAddress: self.uplinkAddress,
    keys: own,
    carrier: effectiveCarrier(view),
    fenced: self.fenced,
  };
}

/**
 * Those of now and every change that concerns the plane; ends with both streams. Keys that were told anew are told
 * here too, changed or not: a server that was started again must hear again what the plane has.
 */
export async function* followPlaneSettings(
  node: NodeName,
  cluster: Pick<Followed<NodeView>, 'current' | 'changes'>,
  keys: Pick<Followed<ClusterKeys>, 'current' | 'changes'>,
): AsyncGenerator<PlaneSettings> {
  let news = Promise.withResolvers<void>();
  let open = 2;
  const listen = async (changes: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of changes) news.resolve();
    open -= 1;
    news.resolve();
  };
  void listen(cluster.changes());
  void listen(keys.changes());

  let told = { text: '', keys: undefined as ClusterKeys | undefined };
  /** Those from before the node was fenced must not come back when it is let in again. */
  let withdrawn: ClusterKeys | undefined;
  while (open > 0) {
    const next = news.promise;
    const latest = keys.current();
    const view = cluster.current();
    if (view?.nodes.get(node)?.fenced === true) withdrawn = latest;
    const settings = planeSettingsOf(node, view, latest === withdrawn ? undefined : latest);
    const text = JSON.stringify(settings);
    if (settings !== undefined && (text !== told.text || latest !== told.keys)) {
      told = { text, keys: latest };
      yield settings;
    }
    await next;
    news = Promise.withResolvers();
  }
}
