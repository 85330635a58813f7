/** What of a node is in the kernel now: what `sluice down` would take away. */
import { listRoutes, OUR_ROUTES } from '../../linux/addressing.ts';
import { listLinks } from '../../linux/links.ts';
import { NETLINK_ROUTE, type Netlink, openNetlink } from '../../linux/netlink.ts';
import { openNftables } from '../../linux/nft.ts';
import { listPrograms } from '../../linux/tc.ts';
import type { Side } from '../../model/endpoint.ts';
import type { NodeName } from '../../model/names.ts';
import { bridgeName, headroomName, shaperNames, tableName, tunnelName } from '../../netd/names.ts';
import { PROGRAM_NAMES } from '../../tagqueue/maps.ts';
import { tcNameOf } from '../../tagqueue/observe.ts';

const SIDES: readonly Side[] = ['internal', 'external'];

/** @returns in words, in the order of removal; empty when nothing is there. */
export async function presentOf(node: NodeName): Promise<string[]> {
  const route = openNetlink(NETLINK_ROUTE);
  const nft = openNftables();
  try {
    const table = tableName(node);
    const rules = nft.list(`table ip ${table}`) === undefined ? [] : [`nftables table ${table}`];
    return [...rules, ...(await links(route, node)), ...(await routes(route)), ...(await programs(route))];
  } finally {
    nft.close();
    route.close();
  }
}

async function links(route: Netlink, node: NodeName): Promise<string[]> {
  const names: readonly string[] = [bridgeName(node, 'internal'), bridgeName(node, 'external')];
  const all = await listLinks(route);
  const bridges = all.filter(({ name }) => names.includes(name));
  const headroom = headroomName(node);
  const shapers = SIDES.flatMap((side) => Object.values(shaperNames(node, side)));
  const ports = all.filter(
    ({ master, name }) =>
      bridges.some(({ index }) => index === master) && name !== headroom && !shapers.includes(name),
  );
  return [
    ...ports.map(({ name }) => `container interface ${name}`),
    ...all.filter(({ name }) => shapers.includes(name)).map(({ name }) => `shaper ${name}`),
    ...all.filter(({ name }) => name === headroom).map(({ name }) => `headroom device ${name}`),
    ...bridges.map(({ name }) => `bridge ${name}`),
    ...all.filter(({ name }) => name === tunnelName(node)).map(({ name }) => `tunnel device ${name}`),
  ];
}

async function routes(route: Netlink): Promise<string[]> {
  const ours = (await listRoutes(route)).filter(({ protocol }) => protocol === OUR_ROUTES);
  return ours.map(({ to }) => `route to ${to}`);
}

async function programs(route: Netlink): Promise<string[]> {
  const ours = new Set<string>(PROGRAM_NAMES.map(tcNameOf));
  const found: string[] = [];
  for (const { index, name } of await listLinks(route)) {
    for (const program of await listPrograms(route, index)) {
      if (ours.has(program.name)) found.push(`eBPF program ${program.name} on ${name}`);
    }
  }
  return found;
}
