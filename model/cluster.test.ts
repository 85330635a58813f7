import { NODE_A, NODE_B, SETTINGS } from '../test/support/samples.ts';
import { type CarrierChoice, ClusterNode, ClusterSettings, effectiveCarrier } from './cluster.ts';
import {
  ClusterLine,
  ClusterSnapshot,
  foldLine,
  type NodeView,
  snapshotOf,
  viewOf,
} from './cluster-changes.ts';
import type { NodeName, TenantName } from './names.ts';
import { TenantPlan } from './plan.ts';
import { Switch } from './switch.ts';

const EMPTY = viewOf(
  1,
  ClusterSnapshot.parse({ settings: SETTINGS, tenants: [], nodes: [], namespaces: [], probes: [] }),
);
const A_SWITCH = Switch.parse({
  ...{ id: 'sw-00000001', name: 'peak', select: { tenant: ['blue'] }, changes: { cpu: { do: 'lift' } } },
  ...{
    percent: 100,
    priority: 0,
    from: 1,
    until: 2,
    repeat: null,
    reason: 'sale',
    openedBy: 'root',
    openedAt: 1,
  },
});

const withNodes = (carrier: CarrierChoice, ...nodes: ClusterNode[]): ReturnType<typeof effectiveCarrier> =>
  effectiveCarrier({
    settings: { ...SETTINGS, carrier },
    nodes: new Map<NodeName, ClusterNode>(nodes.map((one) => [one.node, one])),
  });

describe('the carrier that is sent', () => {
  const card = { ...NODE_B, nic: true };

  it('is the option, unless a network card is among the uplinks', () => {
    expect(withNodes('auto')).toBe('option');
    expect(withNodes('auto', NODE_A, NODE_B)).toBe('option');
    expect(withNodes('auto', NODE_A, card)).toBe('vxlan');
  });

  it('is the one that an operator has chosen', () => {
    expect(withNodes('option', NODE_A, card)).toBe('option');
    expect(withNodes('vxlan', NODE_A)).toBe('vxlan');
  });
});

describe('records of a version without carriers, fencing and zones', () => {
  it('are read as what they meant', () => {
    const { carrier: _carrier, ...settings } = SETTINGS;
    const { nic: _nic, fenced: _fenced, zone: _zone, labels: _labels, ...node } = NODE_A;
    expect(ClusterSettings.parse(settings)).toEqual(SETTINGS);
    expect(ClusterNode.parse(node)).toEqual(NODE_A);
  });
});

describe('a picture of a version without limits', () => {
  it('is read as one in which nobody is limited', () => {
    const before = { settings: SETTINGS, tenants: [], nodes: [NODE_A], namespaces: [], probes: [] };
    const view = viewOf(7, ClusterSnapshot.parse(before));
    expect([view.plans.size, view.switches.size]).toEqual([0, 0]);
    expect(view.defaults).toEqual({ container: {}, meaning: 'wire' });
    expect(viewOf(7, snapshotOf(view))).toEqual(view);
  });
});

describe('lines of plans, defaults and switches', () => {
  const view = viewOf(1, ClusterSnapshot.parse({ ...snapshotOf(EMPTY) }));
  const fold = (line: unknown): NodeView => foldLine(view, ClusterLine.parse(line))!;

  it('change just what they name', () => {
    const plan = { tenant: 'blue', container: { cpu: 1 } };
    const planned = fold({ revision: 2, put: { kind: 'plan', value: plan } });
    expect(planned.plans.get('blue' as TenantName)).toMatchObject({ ...plan, borrow: false, priority: 0 });
    expect(planned.switches).toBe(view.switches);
    expect(foldLine(planned, { revision: 3, delete: { kind: 'plan', name: 'blue' } })?.plans.size).toBe(0);
    const defaults = { container: { pids: 100 }, meaning: 'goodput' };
    expect(fold({ revision: 2, put: { kind: 'limits', value: defaults } }).defaults).toEqual(defaults);
    const open = fold({ revision: 2, put: { kind: 'switch', value: A_SWITCH } });
    expect(open.switches.get(A_SWITCH.id)).toEqual(A_SWITCH);
    expect(
      foldLine(open, { revision: 3, delete: { kind: 'switch', name: A_SWITCH.id } })?.switches.size,
    ).toBe(0);
  });

  it('are refused with values that fit no field', () => {
    for (const container of [
      { cpu: -1 },
      { cpu: 0 },
      { cpu: '1' },
      { 'cpu.set': '0-' },
      { pids: 1.5 },
      { speed: 1 },
    ])
      expect(TenantPlan.safeParse({ tenant: 'blue', container }).success).toBe(false);
    expect(
      TenantPlan.safeParse({ tenant: 'blue', container: { 'tenant.net.external.out': 1e9 } }).success,
    ).toBe(false);
    expect(TenantPlan.safeParse({ tenant: 'blue', share: { 'net.external.out': 1e9 } }).success).toBe(false);
    for (const share of [{ 'tenant.net.external.out': 1e9 }, { 'tenant.volume.writeOps': 500 }])
      expect(TenantPlan.safeParse({ tenant: 'blue', share }).success).toBe(true);
    expect(
      TenantPlan.safeParse({ tenant: 'blue', container: { cpu: null, 'cpu.set': '0-3,7' } }).success,
    ).toBe(true);
  });
});
