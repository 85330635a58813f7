/** The guard rules of a cluster, with the tags of their tenants, from the stream that tells the cluster. */
import type { NodeView } from '../../model/cluster-changes.ts';
import type { Followed } from '../../store/follow.ts';
import type { TenantRules } from '../../tagqueue/guard/messages.ts';

/** Rules of tenants that are not known are left out: nobody's packets bear their tag. */
export function guardRulesOf({ guards, tenants }: Pick<NodeView, 'guards' | 'tenants'>): TenantRules[] {
  return [...guards.values()].flatMap((rules) => {
    const tag = tenants.get(rules.tenant)?.tag;
    return tag === undefined ? [] : [{ tag, rules }];
  });
}

/** Those of now and every change of them. */
export async function* followGuards(
  cluster: Pick<Followed<NodeView>, 'changes'>,
): AsyncGenerator<readonly TenantRules[]> {
  let told = '';
  for await (const view of cluster.changes()) {
    const rules = guardRulesOf(view);
    const text = JSON.stringify(rules);
    if (text === told) continue;
    told = text;
    yield rules;
  }
}
