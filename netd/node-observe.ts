/** Reads what the node has of bridges, routes and kernel settings. */
import { listAddresses, listRoutes } from '../linux/addressing.ts';
import { listLinks } from '../linux/links.ts';
import { readSysctl } from '../linux/sysctl.ts';
import type { NodeFacts } from './facts.ts';
import type { Kernel } from './kernel.ts';
import { bridgeSettings, nodeSettings, type ObservedNode } from './node-plan.ts';

export async function observeNode({ route }: Kernel, facts: NodeFacts): Promise<ObservedNode> {
  const wanted = [...nodeSettings(), ...Object.values(facts.bridges).flatMap(bridgeSettings)];
  return {
    links: await listLinks(route),
    addresses: await listAddresses(route),
    routes: await listRoutes(route),
    settings: new Map(wanted.map(({ name }) => [name, readSysctl(name)])),
  };
}
