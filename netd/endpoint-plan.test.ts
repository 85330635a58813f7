import fc from 'fast-check';
import { type Endpoint, Nic, type Side } from '../model/endpoint.ts';
import { anEndpoint, FACTS, WEB } from '../test/support/samples.ts';
import {
  bindingOf,
  type EndpointAction,
  type InsideNic,
  type ObservedEndpoint,
  type ObservedNic,
  planEndpoint,
  planFromNothing,
  STAGES,
} from './endpoint-plan.ts';
import { publishedWord } from './ruleset.ts';

const PROGRAMS = { ingress: 11, egress: 12 };
const BRIDGE_INDEX = { external: 2, internal: 3 } as const;

/** What the kernel shows of an interface that is as it should be. */
function whole(endpoint: Endpoint, nic: Nic): ObservedNic {
  const link = {
    ...{
      index: 10,
      name: nic.hostIf,
      mac: nic.mac,
      mtu: nic.mtu,
      up: true,
      ethernet: true,
      master: BRIDGE_INDEX[nic.side],
    },
    ...{
      group: endpoint.group,
      kind: 'veth',
      peerIndex: 2,
      tunnelPort: undefined,
      rxPackets: 0n,
      txPackets: 0n,
    },
  };
  return {
    link,
    bridgeIndex: BRIDGE_INDEX[nic.side],
    programs: PROGRAMS,
    binding: { ...bindingOf(endpoint, nic, FACTS, link.index), mark: 1 as never, outClass: 7, inClass: 0 },
    neighbour: nic.mac,
    forwarded: true,
    inside: {
      link: { ...link, index: 5, name: nic.ifName },
      addresses: [{ index: 5, address: nic.address, prefix: 22 }],
      routes: nic.routes.map((to) => ({ to, via: nic.gateway, dev: 5, protocol: 3 })),
      ipv6:
        nic.ipv6 === undefined
          ? { addresses: [], routes: [] }
          : {
              addresses: [{ index: 5, address: nic.ipv6.address }],
              routes: [{ to: nic.ipv6.pool, via: nic.ipv6.gateway, dev: 5 }],
            },
    },
  };
}

function picture(
  endpoint: Endpoint,
  change: (nic: ObservedNic, side: Side) => ObservedNic = (nic) => nic,
): ObservedEndpoint {
  const nics = endpoint.nics.map((nic): [Side, ObservedNic] => [
    nic.side,
    change(whole(endpoint, nic), nic.side),
  ]);
  const [address] = endpoint.nics.filter(({ side }) => side === 'external').map((nic) => nic.address);
  const published = new Set(
    endpoint.ports.flatMap((port) => (address === undefined ? [] : [publishedWord(port, address)])),
  );
  return { nics: new Map(nics), programs: PROGRAMS, published };
}

const endpoint = anEndpoint(7, { ports: [WEB] });
const steps = (actions: readonly EndpointAction[]): string[] =>
  actions.map((action) => ('nic' in action ? `${action.do} ${action.nic.side}` : action.do));

describe('planFromNothing', () => {
  it('raises no link before the fence stands, the port is bound and its rates hold', () => {
    const order = planFromNothing(endpoint).map((action) => action.do);
    expect(order.lastIndexOf('fence')).toBeLessThan(order.indexOf('raise'));
    expect(order.lastIndexOf('bind')).toBeLessThan(order.indexOf('raise'));
    // Rates lead a port that is bound, and hold from the first packet.
    expect(order.lastIndexOf('bind')).toBeLessThan(order.indexOf('limit'));
    expect(order.indexOf('limit')).toBeLessThan(order.indexOf('raise'));
    expect(order.at(-1)).toBe('publish');
  });

  it('is what a plan finds to do where nothing is there', () => {
    const nothing: ObservedNic = {
      link: undefined,
      bridgeIndex: 2,
      programs: { ingress: undefined, egress: undefined },
      binding: undefined,
      neighbour: undefined,
      forwarded: false,
      inside: 'missing',
    };
    const found = planEndpoint(endpoint, FACTS, {
      ...picture(endpoint, () => nothing),
      published: new Set(),
    });
    expect(steps(found)).toEqual(steps(planFromNothing(endpoint)));
  });
});

describe('planEndpoint', () => {
  it('does nothing when the kernel holds what is recorded', () => {
    expect(planEndpoint(endpoint, FACTS, picture(endpoint))).toEqual([]);
  });

  it.each<[string, string, Partial<ObservedNic>]>([
    ['a program is missing', 'fence', { programs: { ingress: PROGRAMS.ingress, egress: undefined } }],
    ['a program is another one', 'fence', { programs: { ingress: PROGRAMS.ingress, egress: 99 } }],
    ['the port is not bound', 'bind', { binding: undefined }],
    [
      'the port is bound to another tenant',
      'bind',
      {
        binding: {
          ...bindingOf(endpoint, endpoint.nics[0]!, FACTS, 4),
          ...{ mark: 0 as never, tag: 9 as never, outClass: 0, inClass: 0 },
        },
      },
    ],
    ['the node does not know the container’s MAC', 'wire', { neighbour: undefined }],
    ['the bridge does not know its port', 'wire', { forwarded: false }],
    ['the link left its bridge', 'wire', { bridgeIndex: 77 }],
    ['the container lost its interface', 'configure', { inside: 'missing' }],
  ])('repairs just that when %s', (_what, stage, change) => {
    const seen = picture(endpoint, (nic, side) => (side === 'external' ? { ...nic, ...change } : nic));
    expect(steps(planEndpoint(endpoint, FACTS, seen))).toEqual([`${stage} external`]);
  });

  it('notices a missing address, a missing route, and a link that is down inside', () => {
    const inside = (change: (seen: Exclude<ObservedNic['inside'], 'missing' | undefined>) => object) =>
      planEndpoint(
        endpoint,
        FACTS,
        picture(endpoint, (nic) =>
          typeof nic.inside === 'object'
            ? ({ ...nic, inside: { ...nic.inside, ...change(nic.inside) } } as ObservedNic)
            : nic,
        ),
      );
    expect(inside(() => ({ addresses: [] })).map(({ because }) => because)).toContain(
      'eth0 lacks address 10.80.0.7/22',
    );
    expect(inside(() => ({ routes: [] })).map(({ because }) => because)).toContain(
      'the route to default through eth0 is missing',
    );
    expect(inside(({ link }) => ({ link: { ...link, up: false } })).map(({ because }) => because)).toContain(
      'eth1 is down in the container',
    );
  });

  it('notices a missing IPv6 address and a missing IPv6 route, where there should be one', () => {
    const ipv6 = Nic.shape.ipv6.parse({
      address: 'fd5c:51:ce::a40:7',
      gateway: 'fd5c:51:ce::a40:1',
      pool: 'fd5c:51:ce::/96',
    });
    const dual = anEndpoint(7, {
      nics: endpoint.nics.map((nic) => (nic.side === 'internal' ? { ...nic, ipv6 } : nic)),
    });
    const because = (change: Partial<InsideNic['ipv6']>) =>
      planEndpoint(
        dual,
        FACTS,
        picture(dual, (nic) =>
          typeof nic.inside === 'object'
            ? { ...nic, inside: { ...nic.inside, ipv6: { ...nic.inside.ipv6, ...change } } }
            : nic,
        ),
      ).map((action) => action.because);
    expect(because({})).toEqual([]);
    expect(because({ addresses: [] })).toContain('eth1 lacks address fd5c:51:ce::a40:7');
    expect(because({ routes: [] })).toContain('the route to fd5c:51:ce::/96 through eth1 is missing');
  });

  it('does not judge what it could not look into', () => {
    expect(
      planEndpoint(
        endpoint,
        FACTS,
        picture(endpoint, (nic) => ({ ...nic, inside: undefined })),
      ),
    ).toEqual([]);
  });

  it('opens a published port that is closed', () => {
    expect(steps(planEndpoint(endpoint, FACTS, { ...picture(endpoint), published: new Set() }))).toEqual([
      'publish',
    ]);
  });

  it('keeps the order of stages whatever is wrong', () => {
    const anyFault = fc.record({
      link: fc.boolean(),
      programs: fc.boolean(),
      binding: fc.boolean(),
      neighbour: fc.boolean(),
      forwarded: fc.boolean(),
      inside: fc.boolean(),
    });
    fc.assert(
      fc.property(anyFault, anyFault, (external, internal) => {
        const seen = picture(endpoint, (nic, side) => {
          const fault = side === 'external' ? external : internal;
          return {
            ...nic,
            ...(fault.link && { link: undefined }),
            ...(fault.programs && { programs: { ingress: undefined, egress: undefined } }),
            ...(fault.binding && { binding: undefined }),
            ...(fault.neighbour && { neighbour: undefined }),
            ...(fault.forwarded && { forwarded: false }),
            ...(fault.inside && { inside: 'missing' as const }),
          };
        });
        const order = planEndpoint(endpoint, FACTS, seen).map((action) => STAGES.indexOf(action.do));
        expect(order).toEqual([...order].sort((a, b) => a - b));
      }),
    );
  });
});
