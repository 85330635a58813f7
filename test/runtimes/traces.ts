/** What containers leave on a node while they live, so that a test can say that nothing is left of them. */
import type { LabNode } from '../../lab/node.ts';

export interface Traces {
  /** Links on the node's bridges, neighbours, forwarding entries, rules: as the tools print them. */
  readonly kernel: string;
  readonly endpoints: readonly Readonly<Record<string, unknown>>[];
}

const KERNEL = [
  ['ip', '-o', 'link', 'show', 'type', 'veth'],
  ['ip', 'neighbour', 'show', 'nud', 'permanent'],
  ['bridge', 'fdb', 'show'],
  ['ip', 'route', 'show', 'table', 'all'],
  ['nft', 'list', 'ruleset'],
] as const;

/**
 * Counters of rules are left out: they count what is over, too. So is who has how many tracked flows and next hops, which the
 * kernel forgets by itself.
 */
export function withoutCounts(ruleset: string): string {
  return ruleset
    .replaceAll(/packets \d+ bytes \d+/g, '')
    .replaceAll(/\s+elements = \{[^}]*(?:ct count over|limit rate over|expires)[^}]*\}/g, '');
}

export async function tracesOn(node: LabNode): Promise<Traces> {
  const printed = await Promise.all(KERNEL.map((argv) => node.exec(argv)));
  const { stdout } = await node.sluice(['endpoint', 'list', '--json']);
  return {
    kernel: withoutCounts(printed.join('\n')),
    endpoints: JSON.parse(stdout) as Traces['endpoints'],
  };
}
