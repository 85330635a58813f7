/** Dual stack: containers whose network asks for it have IPv6 between them, on one host and two, and nobody else does. */
import { readFileSync } from 'node:fs';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { netnsPath } from '../../lab/network.ts';
import { namespaceOf, UPLINK } from '../../lab/topology.ts';
import { localClient } from '../../linux/api-client.ts';
import { ethernetFrame } from '../../linux/frames.ts';
import { openNetns } from '../../linux/netns.ts';
import { openPacketSocket, type PacketSocket } from '../../linux/packet.ts';
import { type Argv, type Outcome, run, startDaemon } from '../../linux/process.ts';
import { type Ipv4, type Ipv6, ipv6In, type Mac, macOfAddress, type Pool6 } from '../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { tunnelPacket } from '../../tagqueue/wire-vxlan.ts';
import { withTag6 } from '../../tagqueue/wire6.ts';
import { eventually } from '../fence/wire.ts';
import { ETHERTYPE, extension, ipv6Between, neighbourMessage, PROTOCOL, udp } from '../frames.ts';

const POOL = 'fd5c:51:ce::/96' as Pool6;
const INTERNAL = 'eth1';
const PORT = 5001;
const MARKER = Buffer.from('this must not arrive');

let lab: Lab;
let a1: LabContainer;
let a2: LabContainer;
let b1: LabContainer;
let plain: LabContainer;
let redA: LabContainer;
let redB: LabContainer;

beforeAll(async () => {
  lab = await createLab({ prefix: 'tipv6', nodes: ['a', 'b'] });
  await lab.start({ network: { internalPool6: POOL } });
  await lab.tenant('blue');
  await lab.tenant('red');
  const dual = { conf: { ipv6: true } };
  a1 = await lab.container('a', 'blue', 'a1', dual);
  a2 = await lab.container('a', 'blue', 'a2', dual);
  b1 = await lab.container('b', 'blue', 'b1', dual);
  plain = await lab.container('a', 'blue', 'plain');
  redA = await lab.container('a', 'red', 'reda', dual);
  redB = await lab.container('b', 'red', 'redb', dual);
});
afterAll(() => lab?.close());

const six = (container: LabContainer): Ipv6 => ipv6In(POOL, container.internal);
const mac = (container: LabContainer): Mac => macOfAddress(container.internal);
const inside = (container: LabContainer, ...argv: string[]): Argv => [
  'nsenter',
  `--net=${container.netns}`,
  '--',
  ...argv,
];
const ping = (from: LabContainer, to: LabContainer, ...more: string[]): Promise<Outcome> =>
  run(inside(from, 'ping', '-6', '-n', '-q', '-c', '1', '-W', '2', ...more, six(to)));
const reaches = async (from: LabContainer, to: LabContainer): Promise<boolean> =>
  (await ping(from, to)).code === 0;

/** Each pair both ways, all at once. */
async function isSilent(...pairs: readonly (readonly [LabContainer, LabContainer])[]): Promise<void> {
  const both = pairs.flatMap(([one, other]) => [ping(one, other, '-W', '1'), ping(other, one, '-W', '1')]);
  for (const { code, stdout } of await Promise.all(both))
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining('100% packet loss') });
}

interface Transfer {
  readonly bits_per_second: number;
  readonly lost_percent?: number;
}

async function transfer(from: LabContainer, to: LabContainer, ...how: string[]): Promise<Transfer> {
  const server = await startDaemon(inside(to, 'iperf3', '-s', '-1', '-p', String(PORT)));
  try {
    await eventually('iperf3 listens', async () => {
      const { stdout } = await run(inside(to, 'ss', '-Hltn', `sport = :${PORT}`));
      return stdout.includes(String(PORT)) || undefined;
    });
    const client = ['iperf3', '-6', '-J', '-c', six(to), '-p', String(PORT), ...how];
    const { code, stdout, stderr } = await run(inside(from, ...client), { timeoutMs: 20_000 });
    if (code !== 0) throw new Error(`iperf3: ${stdout}${stderr}`);
    const { end } = JSON.parse(stdout);
    return how.includes('-u') ? end.sum : end.sum_received;
  } finally {
    await server.stop();
  }
}

/** Segments that are not merged, or lost for their length, would come at a tenth of this. */
const FAST = 160_000_000;

async function canDoAll(from: LabContainer, to: LabContainer): Promise<void> {
  expect(await ping(from, to)).toMatchObject({ code: 0 });
  // A full packet, whole and not cut.
  expect(await ping(to, from, '-M', 'do', '-s', String(1450 - 48))).toMatchObject({ code: 0 });
  expect((await transfer(from, to, '-n', '64M')).bits_per_second).toBeGreaterThan(FAST);
  // Datagrams of three fragments.
  const datagrams = await transfer(from, to, '-u', '-l', '4000', '-b', '40M', '-n', '800K');
  expect(datagrams.lost_percent).toBeLessThan(5);
}

describe('on one host', () => {
  it('CNI lists the address, and the container has it', async () => {
    expect(a1.result).toMatchObject({
      ips: [{}, {}, { address: `${six(a1)}/128`, interface: 1 }],
    });
    const { stdout } = await run(inside(a1, 'ip', '-6', '-o', 'addr', 'show', 'dev', INTERNAL));
    expect(stdout).toContain(`${six(a1)}/128`);
  });

  it('containers of a tenant reach each other: ICMP, TCP, UDP', () => canDoAll(a1, a2));

  it("another tenant's containers get no answer", () => isSilent([redA, a1]));

  it('a container whose network does not ask for it has none, and is not reached', async () => {
    const { stdout } = await run(inside(plain, 'ip', '-6', '-o', 'addr', 'show', 'dev', INTERNAL));
    expect(stdout).toBe('');
    expect(await reaches(a1, plain)).toBe(false);
  });
});

describe.each(['option', 'vxlan'] as const)('with the carrier %s', (carrier) => {
  beforeAll(async () => {
    const { code, stderr } = await lab.node('a').sluice(['cluster', 'set', '--carrier', carrier]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('containers of a tenant reach each other on two hosts: ICMP, TCP, UDP', () => canDoAll(a1, b1));

  it('they do when a node does not know the MAC address of the next hop yet, too', async () => {
    for (const node of lab.nodes) await node.exec(['ip', 'neigh', 'flush', 'dev', UPLINK]);
    expect(await ping(a1, b1)).toMatchObject({ code: 0 });
    expect(await ping(b1, a1)).toMatchObject({ code: 0 });
  });

  it("another tenant's containers get no answer", async () => {
    await isSilent([redA, b1], [redB, a1]);
    expect(await ping(redA, redB)).toMatchObject({ code: 0 });
  });
});

type Seen = ReadonlyMap<string, number>;

/** Counted by the node so far. */
async function dropsOn(node: 'a' | 'b'): Promise<ReadonlyMap<string, number>> {
  const tagqueue = localClient(`${lab.node(node).runDir}/tagqueue.sock`);
  try {
    const { drops } = (await tagqueue.request('GET', '/v1/drops')) as {
      drops: { reason: DropReason; packets: number }[];
    };
    return new Map(drops.map(({ reason, packets }) => [reason, packets]));
  } finally {
    tagqueue.close();
  }
}

/** Waits until the node has counted so many more for the reason. */
async function counts(node: 'a' | 'b', reason: DropReason, before: Seen, packets: number): Promise<void> {
  const wanted = (before.get(reason) ?? 0) + packets;
  await eventually(`${packets} refused as ${reason}`, async () => {
    const now = (await dropsOn(node)).get(reason) ?? 0;
    return now >= wanted || undefined;
  });
}

describe('what red sends', () => {
  const gatewayMac = async (node: 'a' | 'b'): Promise<Mac> =>
    JSON.parse(await lab.node(node).exec(['ip', '-j', 'link', 'show', `si-${node}`]))[0].address;
  const ALL_NODES = 'ff02::1' as Ipv6;
  const GROUP = '33:33:00:00:00:01' as Mac;
  const own = (to: LabContainer): Buffer => ipv6Between(six(redA), six(to), PROTOCOL.udp, MARKED);
  const MARKED = udp(4000, 5000, MARKER);
  const about = (type: number, target: LabContainer): Buffer =>
    ipv6Between(
      six(redA),
      ALL_NODES,
      PROTOCOL.icmpv6,
      Buffer.concat([neighbourMessage(type, six(target)), MARKER]),
    );
  const attacks: readonly (readonly [string, DropReason, () => Buffer, 'gateway' | 'blue' | 'group'])[] = [
    ['from its own address to blue, past the gateway', 'other_tenant', () => own(a1), 'gateway'],
    ['from its own address to blue, straight', 'other_tenant', () => own(a1), 'blue'],
    [
      "from blue's address to blue",
      'source_ip',
      () => ipv6Between(six(a2), six(a1), PROTOCOL.udp, MARKED),
      'gateway',
    ],
    [
      "from blue's address to blue on the other host",
      'source_ip',
      () => ipv6Between(six(a1), six(b1), PROTOCOL.udp, MARKED),
      'gateway',
    ],
    ["an advertisement of blue's address", 'arp_spoof', () => about(136, a2), 'group'],
    ["an advertisement of blue's address, to blue alone", 'arp_spoof', () => about(136, a2), 'blue'],
    ['a router advertisement', 'rogue_router', () => about(134, a2), 'group'],
    [
      'a router advertisement behind destination options',
      'rogue_router',
      () =>
        ipv6Between(
          six(redA),
          ALL_NODES,
          60,
          extension(PROTOCOL.icmpv6, Buffer.concat([neighbourMessage(134, six(a1)), MARKER])),
        ),
      'group',
    ],
    [
      'a tag of its own making',
      'ip_options',
      () => withTag6(own(b1), { epoch: 1 as KeyEpoch, tenant: 1 as TenantTag, mac: Buffer.alloc(8, 1) }),
      'gateway',
    ],
    ['a question for blue by multicast', 'other_tenant', () => about(135, a1), 'group'],
    [
      'to the world by the internal side',
      'not_internal',
      () => ipv6Between(six(redA), '2001:db8::1' as Ipv6, PROTOCOL.udp, MARKED),
      'gateway',
    ],
  ];

  it.each(attacks)('%s: refused as %s, and blue sees nothing of it', async (_, reason, packet, way) => {
    using sockets = await openSockets();
    const { red, blue } = sockets;
    const before = await dropsOn('a');
    const to = { gateway: await gatewayMac('a'), blue: mac(a1), group: GROUP }[way];
    for (let i = 0; i < 10; i++) red.send(ethernetFrame(mac(redA), to, ETHERTYPE.ipv6, packet()));
    await counts('a', reason, before, 10);
    // The same sockets see what is allowed; when that is there, what went before it has been judged.
    expect(await ping(a2, a1)).toMatchObject({ code: 0 });
    expect(await ping(b1, a1)).toMatchObject({ code: 0 });
    expectUnseen(blue);
  });

  /** Something came in meanwhile, but not that. */
  function expectUnseen(sockets: readonly PacketSocket[]): void {
    const arrived = sockets.flatMap((socket) => socket.take()).filter(({ outgoing }) => !outgoing);
    expect(arrived).not.toEqual([]);
    expect(arrived.filter(({ bytes }) => bytes.includes(MARKER))).toEqual([]);
  }

  interface Sockets extends Disposable {
    readonly red: PacketSocket;
    readonly blue: readonly PacketSocket[];
    readonly wire: PacketSocket;
  }

  async function openSockets(): Promise<Sockets> {
    const open = new DisposableStack();
    const socket = (path: string, ifName: string): PacketSocket => {
      using netns = openNetns(path);
      return open.use(openPacketSocket(netns, ifName));
    };
    return {
      red: socket(redA.netns, INTERNAL),
      blue: [a1, a2, b1].map(({ netns }) => socket(netns, INTERNAL)),
      // The port of node b: what goes out there comes in at its uplink.
      wire: socket(netnsPath(namespaceOf(lab.prefix, 'wire')), 'port2'),
      [Symbol.dispose]: () => open.dispose(),
    };
  }

  const forged = { tenant: 1 as TenantTag, mac: Buffer.alloc(8) };
  it.each([
    ['without a tag', 'untagged', ETHERTYPE.ipv6, (packet: Buffer) => packet],
    [
      'with a forged tag',
      'tag_forged',
      ETHERTYPE.ipv6,
      (packet: Buffer, epoch: KeyEpoch) => withTag6(packet, { ...forged, epoch }),
    ],
    [
      'in the tunnel with a forged tag',
      'tag_forged',
      ETHERTYPE.ipv4,
      (packet: Buffer, epoch: KeyEpoch) => {
        const [source, destination] = lab.nodes.map(({ address }) => address) as [Ipv4, Ipv4];
        const ends = { source, destination, sourcePort: 50_000, port: 4789 };
        return tunnelPacket(packet, ends, { ...forged, epoch, version: 1 });
      },
    ],
  ] as const)('a stranger on the wire sends %s: refused as %s', async (_, reason, type, make) => {
    using sockets = await openSockets();
    const { wire, blue } = sockets;
    const [{ address }] = JSON.parse(await lab.node('b').exec(['ip', '-j', 'link', 'show', UPLINK]));
    const { keys } = JSON.parse(readFileSync(`${lab.node('b').stateDir}/tagqueue.json`, 'utf8'));
    const before = await dropsOn('b');
    const packet = make(ipv6Between(six(a1), six(b1), PROTOCOL.udp, MARKED), keys.current);
    for (let i = 0; i < 10; i++) wire.send(ethernetFrame(mac(a1), address as Mac, type, packet));
    await counts('b', reason, before, 10);
    expect(await ping(a1, b1)).toMatchObject({ code: 0 });
    expectUnseen(blue);
  });

  it('what a container of blue sends that has no IPv6 address is refused as ever, as ethertype', async () => {
    using netns = openNetns(plain.netns);
    using socket = openPacketSocket(netns, INTERNAL);
    using sockets = await openSockets();
    const before = await dropsOn('a');
    const packet = ipv6Between(six(plain), six(a1), PROTOCOL.udp, MARKED);
    for (let i = 0; i < 10; i++) socket.send(ethernetFrame(mac(plain), mac(a1), ETHERTYPE.ipv6, packet));
    await counts('a', 'ethertype', before, 10);
    expect(await ping(a2, a1)).toMatchObject({ code: 0 });
    expectUnseen(sockets.blue);
  });
});

async function restartAll(
  tagqueue: { readonly fastPath: 'off' } | { readonly plane: 'nfqueue' },
): Promise<void> {
  await Promise.all(lab.nodes.map((node) => node.restart({ network: { internalPool6: POOL }, tagqueue })));
}

describe('with fastPath off', () => {
  beforeAll(() => restartAll({ fastPath: 'off' }));

  it('IPv6 still goes from port to port and between hosts, because nobody else forwards it', async () => {
    expect(await ping(a1, a2)).toMatchObject({ code: 0 });
    expect(await ping(a1, b1)).toMatchObject({ code: 0 });
    await isSilent([redA, a1], [redA, b1]);
  });
});

describe('without eBPF', () => {
  beforeAll(async () => {
    await lab.node('a').sluice(['cluster', 'set', '--carrier', 'option']);
    await restartAll({ plane: 'nfqueue' });
  });

  it('nobody reaches anybody by IPv6, and by IPv4 all is as it was', async () => {
    const before = await dropsOn('a');
    await isSilent([a1, a2], [a1, b1], [redA, a1]);
    await counts('a', 'ethertype', before, 1);
    await eventually('IPv4 between the hosts', async () => {
      const { code } = await run(inside(a1, 'ping', '-n', '-q', '-c', '1', '-W', '1', b1.internal));
      return code === 0 || undefined;
    });
  });

  it('a container whose network asks for it is refused', async () => {
    const asking = lab.container('a', 'blue', 'a3', { conf: { ipv6: true } });
    await expect(asking).rejects.toThrow(/"code":2.*ipv6: true is not supported on this node/);
    const other = await lab.container('a', 'blue', 'a4');
    await other.remove();
  });

  it('the operator is told', async () => {
    const { stdout } = await lab.node('a').sluice(['doctor', '--json']);
    const found = (JSON.parse(stdout) as { checks: { id: string }[] }).checks.find(({ id }) => id === 'ipv6');
    expect(found).toMatchObject({ level: 'warn' });
  });
});
