/** Capacity and squeezing, on reports made by hand. */
import type { ContainerLimits } from '../../model/limits-report.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import { emptyPlan, type TenantPlan } from '../../model/plan.ts';
import { Switch, SwitchId } from '../../model/switch.ts';
import { LimitReports, SILENT_AFTER_MS } from './limit-reports.ts';
import { lacksOf } from './switch-forecast.ts';
import { squeezesFor } from './switch-squeeze.ts';

const A = 'a' as NodeName;
const zones = new Map([[A, null]]);
let clock = 0;

function container(tenant: string, name: string, base: ContainerLimits['base']): ContainerLimits {
  const subject = {
    node: A,
    zone: null,
    tenant,
    app: name,
    instance: name,
    containerId: name,
    ifName: 'eth0',
    labels: {},
  };
  return {
    subject,
    base,
    effective: base,
    switches: [],
    shortfalls: [],
    readAt: 0,
  } as unknown as ContainerLimits;
}

function nodeWith(containers: ContainerLimits[], share: object = {}): LimitReports {
  const reports = new LimitReports(() => clock);
  const tenants = Object.entries(share).map(([tenant, base]) => ({
    ...{ tenant: tenant as TenantName, base: base as object, effective: base as object },
    ...{ switches: [], shortfalls: [], events: [] },
  }));
  reports.take({
    ...{
      node: A,
      revision: 1,
      capacity: { cpu: 4, memory: 8e9, uplink: 1e9 },
      whole: true,
      containers,
      gone: [],
    },
    tenants,
  });
  return reports;
}

const aSwitch = (id: string, tenant: string, changes: object): Switch =>
  Switch.parse({
    ...{
      id: `sw-0000000${id}`,
      name: 'peak',
      select: { tenant: [tenant] },
      changes,
      percent: 100,
      priority: 0,
    },
    ...{ from: 0, until: 10, repeat: null, reason: 'sale', openedBy: 'root', openedAt: 0 },
  });

const plans = (priorities: Readonly<Record<string, number>>): Map<TenantName, TenantPlan> =>
  new Map(
    Object.entries(priorities).map(([name, priority]) => {
      const tenant = name as TenantName;
      return [tenant, { ...emptyPlan(tenant), priority }];
    }),
  );

describe('what a node lacks', () => {
  it('counts limits against what it has; without a limit a container is promised nothing', () => {
    const nodes = nodeWith([
      container('shop', 's1', { cpu: 1, 'net.external.out': 6e8 }),
      container('shop', 's2', { cpu: null }),
      container('batch', 'b1', { cpu: 2, 'net.external.out': 3e8 }),
    ]).nodes();
    const lacks = (changes: object): unknown => lacksOf(nodes, [], [aSwitch('1', 'shop', changes)], zones);
    expect(lacks({ cpu: { do: 'scale', factor: 2 } })).toEqual([]);
    expect(lacks({ cpu: { do: 'set', value: 1.5 } })).toEqual([{ node: 'a', of: 'cpu', has: 4, wanted: 5 }]);
    expect(lacks({ cpu: { do: 'lift' } })).toEqual([]);
    expect(lacks({ memory: { do: 'set', value: 1e12 } })).toEqual([
      { node: 'a', of: 'memory', has: 8e9, wanted: 2e12 },
    ]);
    expect(lacks({ 'net.external.out': { do: 'scale', factor: 1.5 } })).toEqual([
      { node: 'a', of: 'uplink', has: 1e9, wanted: 1.2e9 },
    ]);
    expect(lacks({ 'net.internal.out': { do: 'set', value: 1e12 } })).toEqual([]);
  });

  it('is no more than the tenant’s share lets through', () => {
    const nodes = nodeWith(
      [
        container('shop', 's1', { 'net.external.out': 6e8 }),
        container('shop', 's2', { 'net.external.out': 6e8 }),
      ],
      { shop: { 'tenant.net.external.out': 5e8 } },
    ).nodes();
    const more = aSwitch('1', 'shop', { 'net.external.out': { do: 'scale', factor: 4 } });
    expect(lacksOf(nodes, [], [more], zones)).toEqual([]);
    const wider = aSwitch('2', 'shop', { 'tenant.net.external.out': { do: 'lift' } });
    expect(lacksOf(nodes, [], [wider], zones)).toMatchObject([{ of: 'uplink', wanted: 1.2e9 }]);
  });
});

describe('squeezing', () => {
  const nodes = nodeWith([
    container('shop', 's1', { cpu: 1 }),
    container('batch', 'b1', { cpu: 1 }),
    container('batch', 'b2', { cpu: 1 }),
    container('test', 't1', { cpu: 1 }),
  ]).nodes();
  let made = 0;
  const squeezes = (one: Switch, priorities: Readonly<Record<string, number>>): Switch[] => {
    const open = [one];
    const world = {
      ...{ nodes, plans: plans(priorities), zones, open },
      newId: () => SwitchId.parse(`sw-1000000${made++ % 10}`),
    };
    return squeezesFor(one, lacksOf(nodes, [], open, zones), world);
  };
  const left = (one: Switch, more: Switch[]): unknown => lacksOf(nodes, [], [one, ...more], zones);

  it('takes from the lowest first, and no more than is missing', () => {
    const one = aSwitch('1', 'shop', { cpu: { do: 'set', value: 1.5 } });
    const taken = squeezes(one, { shop: 0, batch: -5, test: -1 });
    expect(taken).toMatchObject([
      {
        select: { tenant: ['batch'], node: ['a'] },
        changes: { cpu: { do: 'scale', factor: 0.75 } },
        squeezeFor: one.id,
      },
    ]);
    expect(left(one, taken)).toEqual([]);
  });

  it('goes on to the next when a quarter is all that is left', () => {
    const one = aSwitch('1', 'shop', { cpu: { do: 'set', value: 3 } });
    const taken = squeezes(one, { shop: 0, batch: -5, test: -1 });
    expect(taken.map(({ select, changes }) => [select.tenant, changes])).toEqual([
      [['batch'], { cpu: { do: 'scale', factor: 0.25 } }],
      [['test'], { cpu: { do: 'scale', factor: 0.5 } }],
    ]);
    expect(left(one, taken)).toEqual([]);
  });

  it('never takes from equals, from higher ones, or more than there is', () => {
    const one = aSwitch('1', 'shop', { cpu: { do: 'set', value: 4 } });
    expect(squeezes(one, { shop: 0, batch: 0, test: 5 })).toEqual([]);
    const taken = squeezes(one, { shop: 9 });
    expect(taken).toHaveLength(2);
    expect(left(one, taken)).toMatchObject([{ wanted: 4.75 }]);
  });
});

describe('a node', () => {
  it('counts as unreachable after three seconds of silence, and its last words stay', () => {
    const reports = nodeWith([container('shop', 's1', { cpu: 1 })]);
    clock += SILENT_AFTER_MS - 1;
    expect(reports.nodes()[0]).toMatchObject({ reachable: true });
    clock += 1;
    expect(reports.nodes()[0]).toMatchObject({ reachable: false, silentMs: SILENT_AFTER_MS });
    expect(reports.nodes()[0]?.containers.size).toBe(1);
  });
});
