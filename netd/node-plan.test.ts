import fc from 'fast-check';
import { type ListedRoute, OUR_ROUTES } from '../linux/addressing.ts';
import type { Link } from '../linux/links.ts';
import { type Cidr, cidrNth, type Ipv4 } from '../model/addresses.ts';
import type { ClusterNode } from '../model/cluster.ts';
import type { IfName, NodeName } from '../model/names.ts';
import { FACTS, NODE_B, SETTINGS } from '../test/support/samples.ts';
import { blockRoutes } from './block-routes.ts';
import { bridgeSettings, nodeSettings, type ObservedNode, planNode } from './node-plan.ts';

const UPLINK_INDEX = 9;
/** Of the route that comes with an address (linux/rtnetlink.h). */
const RTPROT_KERNEL = 2;

function aLink(name: string, index: number, more: Partial<Link> = {}): Link {
  return {
    ...{
      index,
      name: name as IfName,
      mac: '02:00:00:00:00:01' as Link['mac'],
      mtu: 1500,
      up: true,
      ethernet: true,
      master: undefined,
    },
    ...{
      group: 0,
      kind: 'bridge',
      peerIndex: undefined,
      tunnelPort: undefined,
      rxPackets: 0n,
      txPackets: 0n,
    },
    ...more,
  };
}

function route(to: Cidr | 'default', via: Ipv4 | undefined, protocol = OUR_ROUTES): ListedRoute {
  return { to, via, dev: via && UPLINK_INDEX, protocol, source: via && FACTS.bridges.internal.gateway };
}

/** A node on which everything is as it should be, with one peer. */
function settled(): ObservedNode {
  const { internal, external } = FACTS.bridges;
  const settings = [...nodeSettings(), ...bridgeSettings(internal), ...bridgeSettings(external)];
  return {
    links: [aLink(internal.name, 2, { mtu: internal.mtu }), aLink(external.name, 3, { mtu: external.mtu })],
    addresses: [
      { index: 2, address: internal.gateway, prefix: 22 },
      { index: 3, address: external.gateway, prefix: 22 },
    ],
    routes: [
      { to: '192.0.2.0/24' as Cidr, via: undefined, dev: UPLINK_INDEX, protocol: RTPROT_KERNEL },
      route(FACTS.internalPool, undefined),
      route(FACTS.externalPool, undefined),
      route(NODE_B.internalBlock, NODE_B.uplinkAddress),
    ],
    settings: new Map(settings.map(({ name, value }) => [name, value])),
  };
}

const plan = (
  observed: ObservedNode,
  peers: readonly ClusterNode[] = [NODE_B],
  owned: readonly string[] = [],
) =>
  planNode({
    facts: FACTS,
    blocks: blockRoutes(peers, observed.routes, UPLINK_INDEX),
    ownedLinks: new Set(owned as IfName[]),
    observed,
  });

const anyPeers = fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { maxLength: 20 }).map((numbers) =>
  numbers.map(
    (n): ClusterNode => ({
      node: `n${n}` as NodeName,
      uplinkAddress: `192.0.2.${n}` as Ipv4,
      internalBlock: cidrNth(SETTINGS.internalPool, 22, n),
      externalBlock: cidrNth(SETTINGS.externalPool, 22, n),
      nic: false,
      zone: null,
      labels: {},
      fenced: false,
      joinedAt: n,
    }),
  ),
);

describe('planNode', () => {
  it('does nothing on a node that is as it should be', () => {
    expect(plan(settled())).toEqual([]);
  });

  it('leads to exactly one route per peer, from any start', () => {
    fc.assert(
      fc.property(anyPeers, anyPeers, (before, peers) => {
        const routes = new Map(
          before.map((peer) => [peer.internalBlock as string, peer.uplinkAddress as string]),
        );
        const present = before.map((peer) => route(peer.internalBlock, peer.uplinkAddress));
        for (const action of plan({ ...settled(), routes: present }, peers)) {
          if (action.do === 'route' && action.via !== undefined) routes.set(action.to, action.via);
          if (action.do === 'unroute') routes.delete(action.route.to);
        }
        expect(routes).toEqual(new Map(peers.map((peer) => [peer.internalBlock, peer.uplinkAddress])));
      }),
    );
  });

  it('opens the new way before it closes the old one when a block moves to another peer', () => {
    const actions = plan(settled(), [{ ...NODE_B, uplinkAddress: '192.0.2.9' as Ipv4 }]);
    const source = FACTS.bridges.internal.gateway;
    expect(actions).toEqual([{ do: 'route', to: NODE_B.internalBlock, via: '192.0.2.9', source }]);
  });

  it('leads through the tunnel where there is one', () => {
    const source = FACTS.bridges.internal.gateway;
    const way = { to: NODE_B.internalBlock, via: NODE_B.uplinkAddress, source };
    const present = settled();
    const blocks = blockRoutes([NODE_B], present.routes, UPLINK_INDEX);
    const input = { facts: FACTS, blocks, ownedLinks: new Set<IfName>() };
    expect(planNode({ ...input, tunnel: 42, observed: present })).toEqual([
      { do: 'route', ...way, tunnel: 42 },
    ]);
    const through = present.routes.map((one) => (one.to === way.to ? { ...one, dev: 42 } : one));
    expect(planNode({ ...input, tunnel: 42, observed: { ...present, routes: through } })).toEqual([]);
  });

  it('never touches a route that is not ours', () => {
    const foreign = route('10.99.0.0/16' as Cidr, '192.0.2.77' as Ipv4, 4);
    expect(
      plan({
        ...settled(),
        routes: [...settled().routes, foreign, route('default', '192.0.2.254' as Ipv4, 4)],
      }),
    ).toEqual([]);
  });

  it('removes host ends that no record owns, and only those', () => {
    const stray = aLink('se0123456789ab', 20, { kind: 'veth', group: 0x5c00_0009, master: 3 });
    const owned = aLink('si0123456789ab', 21, { kind: 'veth', group: 0x5c00_0009, master: 2 });
    const others = [
      aLink('veth0', 22, { kind: 'veth' }),
      aLink('se0123456789ac', 23, { kind: 'veth', group: 0, master: 3 }),
      aLink('se0123456789ad', 24, { kind: 'veth', group: 0x5c00_0009, master: 99 }),
    ];
    const actions = plan(
      { ...settled(), links: [...settled().links, stray, owned, ...others] },
      [NODE_B],
      [owned.name],
    );
    expect(actions).toEqual([{ do: 'remove-link', link: stray }]);
  });

  it('makes bridges before anything is said about them, and sets what the kernel has', () => {
    const bare: ObservedNode = {
      links: [],
      addresses: [],
      routes: [],
      settings: new Map([['net/ipv4/ip_forward', '0']]),
    };
    const steps = plan(bare, []).map((action) => action.do);
    expect(steps).toEqual([
      'bridge',
      'bridge-address',
      'bridge',
      'bridge-address',
      'setting',
      'route',
      'route',
    ]);
  });
});
