/** Takes everything of a node's network away: `sluice down`, with netd itself stopped. */
import { listRoutes, OUR_ROUTES, removeRoute } from '../linux/addressing.ts';
import { isThere } from '../linux/directories.ts';
import { findLink, listLinks, removeLink } from '../linux/links.ts';
import { endpointKey, type Side } from '../model/endpoint.ts';
import { asSluiceError } from '../model/errors.ts';
import type { NodeName } from '../model/names.ts';
import { openCgroupKeeper } from '../qos/cgroup/keeper.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import { flowTunnel } from '../tagqueue/nfqueue/names.ts';
import { removeEgress } from './egress-addresses.ts';
import { flowsTable } from './flow-limits.ts';
import { openKernel } from './kernel.ts';
import { restoreAll } from './limits/restore.ts';
import { netdStorePath } from './main.ts';
import {
  bridgeName,
  FIRST_GROUP,
  headroomName,
  LAST_GROUP,
  looksLikeHostEnd,
  shaperNames,
  tableName,
  tunnelName,
} from './names.ts';
import { restoreSettings } from './node-settings.ts';
import { openRegistry } from './registry.ts';

const SIDES: readonly Side[] = ['internal', 'external'];

export interface RemovalReport {
  /** What was taken away, in words. */
  readonly removed: readonly string[];
  readonly failed: readonly string[];
}

/**
 * Works from the kernel and the node's name, not from the server: it must succeed when nothing
 * else of the cluster is left. May be repeated.
 */
export async function removeNode(node: NodeName, stateDir: string): Promise<RemovalReport> {
  const removed: string[] = [];
  const failed: string[] = [];
  const attempt: Attempt = async (what, step) => {
    try {
      if (await step()) removed.push(what);
    } catch (error) {
      failed.push(`${what}: ${asSluiceError(error).message}`);
    }
  };
  const kernel = openKernel();
  try {
    const table = tableName(node);
    await attempt(`nftables table ${table}`, async () => {
      if (kernel.nft.list(`table ip ${table}`) === undefined) return false;
      kernel.nft.apply('remove the table', `delete table ip ${table}`);
      return true;
    });
    await attempt(`nftables table ${flowsTable(table)}`, async () => {
      if (kernel.nft.list(`table ip ${flowsTable(table)}`) === undefined) return false;
      kernel.nft.apply('remove the table', `delete table ip ${flowsTable(table)}`);
      return true;
    });
    const bridges = SIDES.map((side) => bridgeName(node, side));
    for (const group of await endpointGroups(kernel, bridges)) {
      await attempt(`link group ${group}`, async () => {
        await kernel.reaper.reap(group, []);
        return true;
      });
    }
    for (const route of (await listRoutes(kernel.route)).filter(({ protocol }) => protocol === OUR_ROUTES)) {
      await attempt(`route to ${route.to}`, () => removeRoute(kernel.route, route).then(() => true));
    }
    const links = [
      ...SIDES.flatMap((side) => Object.values(shaperNames(node, side))).map((name) => ({
        name,
        what: `shaper ${name}`,
      })),
      { name: headroomName(node), what: `headroom device ${headroomName(node)}` },
      ...bridges.map((name) => ({ name, what: `bridge ${name}` })),
      ...[tunnelName(node), flowTunnel(node)].map((name) => ({ name, what: `tunnel device ${name}` })),
    ];
    for (const { name, what } of links) {
      await attempt(what, async () => {
        const link = await findLink(kernel.route, name);
        if (link) await removeLink(kernel.route, link.index);
        return link !== undefined;
      });
    }
    // Opening the store would make one where there is none.
    if (isThere(netdStorePath(stateDir))) await forget(kernel, stateDir, attempt);
  } finally {
    kernel.close();
  }
  return { removed, failed };
}

type Attempt = (what: string, step: () => Promise<boolean>) => Promise<void>;

/** What netd has written down, of endpoints and of the machine's own settings. */
async function forget(
  { route }: ReturnType<typeof openKernel>,
  stateDir: string,
  attempt: Attempt,
): Promise<void> {
  const store = openSqliteStore(netdStorePath(stateDir), { durability: 'normal' });
  try {
    const registry = await openRegistry({ store, now: Date.now, cooldownMs: 0 });
    await attempt(
      'limits that switches and plans had changed',
      async () => (await restoreAll(store, registry.all(), openCgroupKeeper())).length > 0,
    );
    for (const endpoint of registry.all()) {
      await attempt(`record of ${endpointKey(endpoint)}`, () => registry.release(endpoint).then(() => true));
    }
    await attempt('egress addresses', () => removeEgress(route, store));
    await attempt('kernel settings', async () => (await restoreSettings(store)).length > 0);
  } finally {
    await store.close();
  }
}

async function endpointGroups(
  kernel: ReturnType<typeof openKernel>,
  bridges: readonly string[],
): Promise<Set<number>> {
  const links = await listLinks(kernel.route);
  const ours = new Set(links.filter(({ name }) => bridges.includes(name)).map(({ index }) => index));
  return new Set(
    links
      .filter((link) => looksLikeHostEnd(link.name) && link.master !== undefined && ours.has(link.master))
      .map(({ group }) => group)
      .filter((group) => group >= FIRST_GROUP && group <= LAST_GROUP),
  );
}
