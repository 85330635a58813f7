/** Which nodes may mount a volume: those that have asked, as long as they are of the cluster. */
import { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { HostWish, VolumeShown } from '../../model/volume-request.ts';
import { mustRead, PATHS } from './layout.ts';
import { type Operation, operation } from './operation.ts';
import { mustBeReady } from './volume-changes.ts';
import { subjectOf } from './volume-clock.ts';
import { meantVolume } from './volume-meant.ts';
import { shownWhenSettled } from './volume-showing.ts';
import { mustFindVolume } from './volume-store.ts';
import { Meant } from './volumes.ts';

const hosts = operation({
  id: 'volume.hosts',
  method: 'POST',
  path: '/v1/volumes/:id/hosts',
  summary: 'A node is about to mount a volume: Gluster is told to let it; ?waitMs= waits until it does.',
  ...Meant,
  body: HostWish,
  answer: VolumeShown,
  handle: async (cluster, { who, params: { id }, query: { tenant, waitMs }, body: { node }, signal }) => {
    const { store, storage, mutate, volumes } = cluster;
    // On the server's own machine the node speaks as root.
    if (who.role === 'node' && who.node !== node) throw notThisNode(node);
    const { one: meant } = await meantVolume(store, who, id, tenant);
    storage.usedBy(meant.id, node);
    if (!meant.hosts.includes(node) || meant.phase !== 'ready') {
      await mutate({ who, operation: 'volume.hosts', subject: subjectOf(meant) }, async () => {
        const { one } = await mustFindVolume(store, meant.id);
        mustBeReady(one);
        const { fenced } = await mustRead(store, PATHS.nodes + node, ClusterNode, `node ${node}`);
        if (fenced) throw isFenced(node);
        if (one.hosts.includes(node)) return { result: undefined };
        const after = { ...one, hosts: [...one.hosts, node].sort(), generation: one.generation + 1 };
        return {
          put: [{ key: PATHS.volumes + one.id, value: after }],
          detail: { before: one.hosts, after: after.hosts },
          result: undefined,
        };
      });
      volumes.changed('hosted');
    }
    const kept = await mustFindVolume(store, meant.id);
    return { json: await shownWhenSettled(cluster, kept, who, waitMs, signal) };
  },
});

export const volumeHostOperations: readonly Operation[] = [hosts];

function notThisNode(node: string): SluiceError {
  return new SluiceError(
    'refused',
    `only node ${node} asks for what is mounted there`,
    'a node asks for itself',
  );
}

function isFenced(node: string): SluiceError {
  return new SluiceError(
    'refused',
    `node ${node} was shut out of the cluster`,
    `if it is to be trusted again: sluice node unfence ${node}`,
  );
}
