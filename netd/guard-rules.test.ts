import type { Ipv4 } from '../model/addresses.ts';
import { GuardRules } from '../model/guard.ts';
import { DEFAULT_MARK_MASK } from '../model/mark.ts';
import type { IfName, NodeName, TenantName, TenantTag } from '../model/names.ts';
import { planEgress } from './egress-addresses.ts';
import { egressAddresses, nodeGuards } from './facts.ts';
import { flowLimitsScript } from './flow-limits.ts';
import { guardRuleset } from './guard-rules.ts';
import { guardElementsScript } from './guard-sets.ts';

const a = 'a' as NodeName;
const bridge = 'se-a' as IfName;
const tenants = new Map(
  ['blue', 'red'].map((name, i) => [name as TenantName, { tag: (i + 7) as TenantTag }] as const),
);
const rules = (tenant: string, egress: object[] = []): GuardRules => GuardRules.parse({ tenant, egress });
const addresses = (...all: string[]): Ipv4[] => all as Ipv4[];

describe("the guard's rules on a node", () => {
  it('are those of tenants that are known, with the egress of this node only', () => {
    const guards = nodeGuards(
      a,
      [
        rules('blue', [
          { node: 'a', address: '192.0.2.7' },
          { node: 'b', address: '192.0.2.8' },
        ]),
        rules('red', [{ node: 'b', address: '192.0.2.9' }]),
        rules('gone'),
      ],
      tenants,
    );
    expect([...guards.keys()]).toEqual(['blue', 'red']);
    expect(guards.get('red' as TenantName)).toEqual({ tag: 8, egress: undefined });
    expect(egressAddresses({ guards })).toEqual(['192.0.2.7']);
  });

  it('translate to the pool, and to the ports where there are any', () => {
    const egress = [{ node: 'a', address: '192.0.2.7-192.0.2.8', ports: '20000-29999' }];
    const guards = nodeGuards(a, [rules('blue', egress)], tenants);
    const ruleset = guardRuleset({ guards }, DEFAULT_MARK_MASK, bridge);
    expect(ruleset.objects).toContain('set egress_7 { type ipv4_addr; }');
    expect(ruleset.egress.trim().split('\n')).toEqual([
      'ip saddr @egress_7 oifname != "se-a" meta l4proto { tcp, udp } snat to 192.0.2.7-192.0.2.8:20000-29999',
      '    ip saddr @egress_7 oifname != "se-a" snat to 192.0.2.7-192.0.2.8',
    ]);
  });

  it('touch only the bits of the mark that are ours', () => {
    const { objects, forward } = guardRuleset({ guards: new Map() }, DEFAULT_MARK_MASK, bridge);
    expect(objects).toContain('meta mark set meta mark & 0xfffff\n');
    expect(forward).toContain('ct mark & 0xfff00000 == 0 meta mark & 0xfff00000 == 0 jump refuse');
  });

  it('fill their sets in one transaction, empty ones too', () => {
    const script = guardElementsScript(
      't',
      new Map([
        ['guarded', ['10.80.0.2', '10.80.0.3']],
        ['egress_7', []],
      ]),
    );
    expect(script).toBe(
      'flush set ip t guarded\nadd element ip t guarded { 10.80.0.2, 10.80.0.3 }\nflush set ip t egress_7\n',
    );
  });
});

describe('egress addresses', () => {
  it('are added when they are wanted, and removed only if we have added them', () => {
    const [one, two, three] = addresses('192.0.2.1', '192.0.2.2', '192.0.2.3');
    expect(planEgress([one!, two!], [one!], [])).toEqual({ add: [two], remove: [], held: [two] });
    expect(planEgress([one!], [one!, two!, three!], [two!])).toEqual({ add: [], remove: [two], held: [] });
    expect(planEgress([two!], [one!], [two!])).toEqual({ add: [two], remove: [], held: [two] });
    expect(planEgress([], [one!], [two!])).toEqual({ add: [], remove: [], held: [] });
  });
});

describe('flow limits', () => {
  it('replace rules and keep counts: nothing but the chain is emptied', () => {
    const limits = { perEndpoint: 100, perTenant: 1_000, newPerSecond: 50 };
    const script = flowLimitsScript('t', { external: bridge, tunnel: undefined }, DEFAULT_MARK_MASK, limits);
    expect(script).not.toContain('delete');
    expect(script.match(/^flush .*$/gm)).toEqual(['flush chain ip t_flows bounded']);
    expect(script).toContain('ip saddr ct count over 100 }');
    expect(script).toContain('meta mark & 0xfff00000 ct count over 1000 }');
    expect(script).toContain('meta mark & 0xfff00000 limit rate over 50/second burst 50 packets }');
  });

  it('count flows between nodes, where they are tracked, for who began them and never for whom they are for', () => {
    const limits = { perEndpoint: 100, perTenant: 1_000, newPerSecond: 50 };
    const script = flowLimitsScript(
      't',
      { external: bridge, tunnel: 'sg-a' as IfName },
      DEFAULT_MARK_MASK,
      limits,
    );
    for (const way of ['iifname "sg-a"', 'oifname "sg-a"']) {
      const lines = script.split('\n').filter((line) => line.includes(way));
      expect(lines).toHaveLength(3);
      for (const line of lines) expect(line).toMatch(/ip saddr|meta mark/);
    }
  });
});
