import type { Ipv4 } from '../model/addresses.ts';
import type { ClusterView } from '../model/cluster.ts';
import type { PublishedPort } from '../model/endpoint.ts';
import type { NodeName } from '../model/names.ts';
import { NODE_B } from '../test/support/samples.ts';
import { clusterServices, refuseServicePorts, type Service } from './service-ports.ts';

const OWN = '192.0.2.1' as Ipv4;
const OTHER = '192.0.2.2' as Ipv4;
const SERVICES = [
  { protocol: 'tcp', address: OWN, port: 7070 },
  { protocol: 'udp', address: OWN, port: 4789 },
  { protocol: 'tcp', address: OWN, port: 49_152, lastPort: 60_999 },
] as const;
const port = (changes: Partial<PublishedPort> = {}): PublishedPort => ({
  ...{ hostPort: 7070, containerPort: 80, protocol: 'tcp', hostIp: null },
  ...changes,
});

describe('refuseServicePorts', () => {
  it.each<[string, PublishedPort]>([
    ['every address', port()],
    ["the node's address", port({ hostIp: OWN })],
    ['every address, by UDP', port({ protocol: 'udp', hostPort: 4789 })],
    ['every address, by the first port of a row', port({ hostPort: 49_152 })],
    ['every address, by the last port of a row', port({ hostPort: 60_999 })],
  ])("refuses the service's port on %s", (_where, taken) => {
    const ask = (): void => refuseServicePorts([port({ hostPort: 80 }), taken], SERVICES, OWN);
    expect(ask).toThrow(expect.objectContaining({ code: 'port_taken' }));
  });

  it.each<[string, PublishedPort, Ipv4 | undefined]>([
    ['other ports', port({ hostPort: 7071 }), OWN],
    ['the port behind a row', port({ hostPort: 61_000 }), OWN],
    ['UDP where the service is TCP', port({ protocol: 'udp' }), OWN],
    ['TCP where the service is UDP', port({ hostPort: 4789 }), OWN],
    ['another address of the node', port({ hostIp: OTHER }), OWN],
    ['the port on a node that does not have the service', port(), OTHER],
    ['anything on a node that has no address yet', port(), undefined],
  ])('allows %s', (_what, free, own) => {
    expect(() => refuseServicePorts([free], SERVICES, own)).not.toThrow();
  });
});

describe('clusterServices', () => {
  const own = 'b' as NodeName;
  const volume = { bricks: [{ address: OTHER }, { address: OTHER }, { address: OWN }] };
  const view = (volumes: readonly object[]): ClusterView =>
    ({
      nodes: new Map([[own, NODE_B]]),
      volumes: new Map(volumes.map((one, n) => [n, one])),
    }) as unknown as ClusterView;
  const services = (volumes: readonly object[], node = own, flows = false): Service[] =>
    clusterServices(view(volumes), { node, vxlanPort: 4789, flows });
  const tunnels = (all: readonly Service[]): number[] =>
    all.filter(({ protocol }) => protocol === 'udp').map(({ port: one }) => one);
  const glusterd: Service = {
    ...{ protocol: 'tcp', address: NODE_B.uplinkAddress },
    ...{ port: 24_007, lastPort: 24_008 },
  };

  it('are the tunnel, and with the gear flows the one beside it', () => {
    expect(tunnels(services([]))).toEqual([4789]);
    expect(tunnels(services([], own, true))).toEqual([4789, 4790]);
  });

  it('are no tunnel as long as the node is not known', () => {
    expect(services([], 'new' as NodeName)).toEqual([glusterd]);
  });

  it("are glusterd's port on every node, and those of bricks where there are bricks", () => {
    expect(services([]).slice(1)).toEqual([glusterd]);
    const bricks = [OTHER, OWN].map(
      (address): Service => ({ protocol: 'tcp', address, port: 49_152, lastPort: 60_999 }),
    );
    expect(services([volume]).slice(1)).toEqual([glusterd, ...bricks]);
  });

  it('are none as long as nothing is known', () => {
    expect(clusterServices(undefined, { node: own, vxlanPort: 4789, flows: true })).toEqual([]);
  });
});
