/** `sluice tagqueue`: the fence's daemon in the foreground. */

import { bridgeName } from '../../netd/names.ts';
import { followCluster, followKeys } from '../../store/cluster-client.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { runTagqueue } from '../../tagqueue/main.ts';
import { requireUplink } from '../node-options.ts';
import { planeObject } from '../plane-object.ts';
import { acknowledger } from './acknowledge.ts';
import { followGuards } from './guard-rules.ts';
import { followPlaneSettings } from './plane-settings.ts';
import { runRole } from './role.ts';
import { clientOfServer } from './server-client.ts';

export function tagqueue(args: readonly string[]): Promise<number> {
  return runRole('tagqueue', args, async (role) => {
    const { places, config, node, log, signal } = role;
    const client = clientOfServer(role);
    // tagqueue itself remembers on disk what it was told; remembering it twice would only cost writes.
    const following = { client, store: openMemoryStore(), node, signal, log };
    const cluster = await followCluster(following);
    const keys = await followKeys(following);
    try {
      await runTagqueue({
        node,
        uplink: requireUplink(role),
        runDir: places.runDir,
        stateDir: places.stateDir,
        plane: config.tagqueue.plane,
        gear: config.tagqueue.gear,
        object: config.tagqueue.object ?? planeObject(),
        etherTypes: config.network.allowedEtherTypes,
        markMask: config.network.markMask,
        vxlanPort: config.network.vxlanPort,
        fastPath: config.tagqueue.fastPath === 'auto',
        keepDays: config.usage.keepDays,
        settings: followPlaneSettings(node, cluster, keys),
        cluster: {
          view: () => cluster.current(),
          server: client,
          probes: config.probes,
          guards: followGuards(cluster),
          externalBridge: bridgeName(node, 'external'),
        },
        settled: acknowledger(client, node, signal, log),
        signal,
        log,
      });
    } finally {
      client.close();
    }
  });
}
