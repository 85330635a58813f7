/** What tagqueue must know of the cluster, put together from the two streams that tell it. */
import { effectiveCarrier } from '../../model/cluster.ts';
import type { NodeView } from '../../model/cluster-changes.ts';
import type { ClusterKeys } from '../../model/keys.ts';
import type { NodeName } from '../../model/names.ts';
import type { Followed } from '../../store/follow.ts';
import type { PlaneSettings } from '../../tagqueue/settings.ts';

/** @returns undefined as long as this node has no block, or nobody has told the keys. */
export function planeSettingsOf(
  node: NodeName,
  view: NodeView | undefined,
  keys: ClusterKeys | undefined,
): PlaneSettings | undefined {
  const self = view?.nodes.get(node);
  if (view === undefined || self === undefined || keys === undefined) return undefined;
  return {
    internalPool: view.settings.internalPool,
    ownBlock: self.internalBlock,
    uplinkAddress: self.uplinkAddress,
    keys,
    carrier: effectiveCarrier(view),
    fenced: self.fenced,
  };
}

/** Those of now and every change that concerns the plane; ends with both streams. */
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

  let told = '';
  while (open > 0) {
    const next = news.promise;
    const settings = planeSettingsOf(node, cluster.current(), keys.current());
    const text = JSON.stringify(settings);
    if (settings !== undefined && text !== told) {
      told = text;
      yield settings;
    }
    await next;
    news = Promise.withResolvers();
  }
}
