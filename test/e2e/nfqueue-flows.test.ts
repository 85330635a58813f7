/** The gear in which userland sees the first packets of a flow between nodes, and the kernel carries the rest. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { localClient } from '../../linux/api-client.ts';
import { openConntrack } from '../../linux/conntrack.ts';
import {
  ETHERTYPE,
  ethernetFrame,
  internetChecksum,
  ipv4Packet,
  PROTOCOL,
  udpDatagram,
} from '../../linux/frames.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { openPacketSocket } from '../../linux/packet.ts';
import { askTcp, type Channel, listenTcp, openChannel, ping, sendUdp } from '../../linux/probe-sockets.ts';
import { type Ipv4, type Mac, macOfAddress } from '../../model/addresses.ts';
import { fenceTable, flowPort, flowTunnel } from '../../tagqueue/nfqueue/names.ts';
import { processOf, supervisorOf, until } from '../faults/crashes.ts';
import { flood, watchFor } from './forbidden.ts';

const PREFIX = 'nfqfl';
const TIMEOUT_MS = 2_000;
const SILENCE_MS = 300;
const PORT = 8_080;
const GEAR = { tagqueue: { plane: 'nfqueue', gear: 'flows' } } as const;

let lab: Lab;
let b1: LabContainer;
let b2: LabContainer;
let b3: LabContainer;
let r1: LabContainer;
let r3: LabContainer;

beforeAll(async () => {
  lab = await createLab({ prefix: PREFIX, nodes: ['a', 'b'] });
  await lab.start(GEAR);
  await lab.tenant('blue');
  await lab.tenant('red');
  b1 = await lab.container('a', 'blue', 'b1');
  b2 = await lab.container('a', 'blue', 'b2');
  r1 = await lab.container('a', 'red', 'r1');
  b3 = await lab.container('b', 'blue', 'b3');
  r3 = await lab.container('b', 'red', 'r3');
}, 120_000);
afterAll(() => lab?.close(), 60_000);

async function reaches(
  from: LabContainer,
  to: LabContainer,
  timeoutMs: number,
  bytes = 56,
): Promise<boolean> {
  using netns = openNetns(from.netns);
  return (await ping(netns, to.internal, Buffer.alloc(bytes, 7), timeoutMs)) !== undefined;
}

describe('first packets through userland', () => {
  it('says which gear it is', async () => {
    expect(
      await localClient(`${lab.node('a').runDir}/tagqueue.sock`).request('GET', '/v1/status'),
    ).toMatchObject({ plane: 'nfqueue', gear: 'flows', ready: true });
  });

  it('lets one tenant talk, on one host and between two', async () => {
    expect(await reaches(b1, b2, TIMEOUT_MS)).toBe(true);
    expect(await reaches(b1, b3, TIMEOUT_MS)).toBe(true);
    expect(await reaches(b3, b1, TIMEOUT_MS)).toBe(true);
    expect(await reaches(r3, r1, TIMEOUT_MS)).toBe(true);
  });

  it('carries fragments, full-sized packets and TCP', async () => {
    expect(await reaches(b1, b3, TIMEOUT_MS, 4_000)).toBe(true);
    expect(await reaches(b1, b3, TIMEOUT_MS, 1_422)).toBe(true);
    using server = openNetns(b3.netns);
    using client = openNetns(b1.netns);
    await using listener = await listenTcp(server, PORT, (from) => `${from} ${'x'.repeat(100_000)}`);
    const answer = await askTcp(client, { address: b3.internal, port: listener.port }, 'who?', TIMEOUT_MS);
    expect(answer).toMatchObject({ state: 'answered' });
  });

  it('lets no tenant reach another', async () => {
    expect(await reaches(b1, r1, SILENCE_MS)).toBe(false);
    expect(await reaches(b1, r3, SILENCE_MS)).toBe(false);
    expect(await reaches(r3, b1, SILENCE_MS)).toBe(false);
  });
});

/** A UDP flow between two fixed ports that stays the same flow. */
interface Conversation extends AsyncDisposable {
  readonly from: LabContainer;
  readonly to: LabContainer;
  readonly ports: { readonly from: number; readonly to: number };
  /** Whether a question and its answer passed. */
  exchange(timeoutMs: number): Promise<boolean>;
}

async function converse(from: LabContainer, to: LabContainer, port: number): Promise<Conversation> {
  const ports = { from: port, to: port + 1 };
  using near = openNetns(from.netns);
  using far = openNetns(to.netns);
  let heard = -1;
  let asked = 0;
  const client: Channel = await openChannel(near, { mark: 0, source: from.internal }, ports.from, (data) => {
    const number = Number(data.toString());
    if (number > heard) heard = number; // what is forged is none
  });
  const server: Channel = await openChannel(far, { mark: 0, source: to.internal }, ports.to, (data, peer) =>
    server.send(data, peer),
  );
  return {
    ...{ from, to, ports },
    async exchange(timeoutMs): Promise<boolean> {
      const number = asked++;
      const deadline = performance.now() + timeoutMs;
      client.send(Buffer.from(String(number)), { address: to.internal, port: ports.to });
      while (heard < number && performance.now() < deadline) await sleep(1);
      return heard >= number;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      client.close();
      server.close();
    },
  };
}

/** How many packets have come to the queues of both nodes. */
async function queued(): Promise<number> {
  const listed = await Promise.all(
    lab.nodes.map((node) => node.exec(['cat', '/proc/thread-self/net/netfilter/nfnetlink_queue'])),
  );
  const counts = listed
    .join('\n')
    .split('\n')
    .map((line) => Number(line.trim().split(/\s+/)[7] ?? 0));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** As if the time had passed after which a connection is proved again. */
async function forgetProofs(node: LabNode): Promise<void> {
  await node.exec(['nft', 'flush', 'set', 'ip', fenceTable(node.name), 'proved']);
}

async function established(from: LabContainer, to: LabContainer, port: number): Promise<Conversation> {
  const talk = await converse(from, to, port);
  for (let round = 0; round < 3; round++) expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
  return talk;
}

describe('what the kernel carries', () => {
  it('does not come to userland', async () => {
    await using talk = await established(b1, b3, 5_000);
    const before = await queued();
    for (let round = 0; round < 500; round++) expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
    expect(await queued()).toBe(before);
  });

  it('is of a TCP connection all but the SYN', async () => {
    using server = openNetns(b3.netns);
    using client = openNetns(b1.netns);
    await using listener = await listenTcp(server, PORT + 1, () => 'x'.repeat(100_000));
    for (let connection = 1; connection <= 3; connection++) {
      const before = await queued();
      const answer = await askTcp(client, { address: b3.internal, port: listener.port }, 'who?', TIMEOUT_MS);
      expect(answer).toMatchObject({ state: 'answered' });
      expect(await queued()).toBe(before + 2); // once at each node
    }
  });

  it('is proved again when its proof is old', async () => {
    await using talk = await established(b1, b3, 5_010);
    const before = await queued();
    for (const node of lab.nodes) await forgetProofs(node);
    for (let round = 0; round < 3; round++) expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
    const after = await queued();
    expect(after).toBeGreaterThan(before);
    expect(after).toBeLessThanOrEqual(before + 4);
  });

  it('is refused by a node that has forgotten it, until it is proved again', async () => {
    await using talk = await established(b1, b3, 5_020);
    using netns = openNetns(lab.node('b').netns);
    const conntrack = inNetns(netns, openConntrack);
    try {
      await conntrack.forgetSentBy(b1.internal);
      expect(await talk.exchange(SILENCE_MS)).toBe(false);
      await forgetProofs(lab.node('a'));
      expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
    } finally {
      conntrack.close();
    }
  });
});

describe('when userland is away', () => {
  it('lets flows go on that are known, and no new one begin', async () => {
    const node = lab.node('a');
    await using talk = await established(b1, b3, 5_030);
    const supervisor = supervisorOf(node);
    process.kill(supervisor, 'SIGSTOP'); // or there would be another tagqueue at once
    try {
      process.kill(processOf(node, 'tagqueue')!, 'SIGKILL');
      const gone = async (): Promise<boolean> =>
        (await node.exec(['cat', '/proc/thread-self/net/netfilter/nfnetlink_queue'])) === '';
      await until('nobody reads the queues', gone);
      for (let round = 0; round < 10; round++) expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
      await forgetProofs(node);
      for (let round = 0; round < 10; round++) expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
      expect(await reaches(b1, b3, SILENCE_MS)).toBe(false);
      expect(await reaches(b3, b1, SILENCE_MS)).toBe(false);
      expect(await reaches(b1, b2, TIMEOUT_MS)).toBe(true);
      expect(await reaches(b1, r1, SILENCE_MS)).toBe(false);
      expect(await reaches(b1, r3, SILENCE_MS)).toBe(false);
    } finally {
      process.kill(supervisor, 'SIGCONT');
    }
    await until('new flows get through again', () => reaches(b1, b3, SILENCE_MS));
    expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
  }, 60_000);
});

const FORGED = Buffer.from('forged');

/** What a VXLAN-GBP packet says (draft-smith-vxlan-group-policy), around a UDP datagram between two containers. */
interface Forgery {
  readonly group: number | undefined;
  readonly vni: number;
  readonly from: Ipv4;
  readonly to: Ipv4;
  readonly ports: Conversation['ports'];
}

function tunnelled({ group, vni, from, to, ports }: Forgery): Buffer {
  const header = Buffer.alloc(8);
  header[0] = group === undefined ? 0x08 : 0x88;
  header.writeUInt16BE(group ?? 0, 2);
  header.writeUInt32BE(vni * 256, 4);
  const inner = ipv4Packet(
    { source: from, destination: to, protocol: PROTOCOL.udp },
    udpDatagram(ports.from, ports.to, FORGED),
  );
  const [source, destination] = [lab.node('a').address, lab.node('b').address].map(macOfAddress);
  return Buffer.concat([header, ethernetFrame(source!, destination!, ETHERTYPE.ipv4, inner)]);
}

async function tagOf(tenant: string): Promise<number> {
  const { stdout } = await lab.node('a').sluice(['tenant', 'list', '--json']);
  const tenants = JSON.parse(stdout) as { tenant: string; tag: number }[];
  return tenants.find((one) => one.tenant === tenant)!.tag;
}

async function macOf(node: LabNode, link: string): Promise<Mac> {
  const [shown] = JSON.parse(await node.exec(['ip', '-j', 'link', 'show', link])) as [{ address: Mac }];
  return shown.address;
}

/** Sends a datagram to the tunnel of a node from the wire, under any source. */
async function fromTheWire(source: Ipv4, payload: Buffer, target = lab.node('b')): Promise<void> {
  using wire = openNetns(lab.internet.netns);
  using socket = openPacketSocket(wire, 'up0', { sendOnly: true });
  const packet = ipv4Packet(
    { source, destination: target.address, protocol: PROTOCOL.udp },
    udpDatagram(50_000, TUNNEL_PORT, payload),
  );
  const mac = await macOf(target, 'up0');
  socket.send(ethernetFrame('02:00:00:00:00:99' as Mac, mac, ETHERTYPE.ipv4, packet));
}

const TUNNEL_PORT = flowPort(4_789);
const VNI = 0x5c;

/** Whether the forged datagram came to the container, before anybody there could throw it away. */
async function arrives(at: LabContainer, send: () => Promise<void>): Promise<boolean> {
  using netns = openNetns(at.netns);
  using socket = openPacketSocket(netns, 'eth1');
  await send();
  const deadline = performance.now() + SILENCE_MS;
  while (performance.now() < deadline) {
    if (socket.take().some(({ bytes, outgoing }) => !outgoing && bytes.includes(FORGED))) return true;
    await sleep(5);
  }
  return false;
}

describe('forged group ids', () => {
  it('do not arrive from a stranger, nor without a known connection', async () => {
    await using talk = await established(b1, b3, 5_040);
    const blue = await tagOf('blue');
    const red = await tagOf('red');
    const [stranger, node] = ['192.0.2.200' as Ipv4, lab.node('a').address];
    const right: Forgery = { group: blue, vni: VNI, from: b1.internal, to: b3.internal, ports: talk.ports };
    const tried: [string, Ipv4, Forgery][] = [
      ['from a stranger', stranger, right],
      ['of another tenant', node, { ...right, group: red }],
      ['without a group', node, { ...right, group: undefined }],
      ['of group 0', node, { ...right, group: 0 }],
      ['on no connection', node, { ...right, ports: { from: 1, to: talk.ports.to } }],
      [
        'of the other tenant to his container',
        node,
        { ...right, group: red, from: r1.internal, to: r3.internal },
      ],
      ['to another tenant', node, { ...right, to: r3.internal }],
    ];
    for (const [what, source, forgery] of tried) {
      const target = forgery.to === r3.internal ? r3 : b3;
      const arrived = await arrives(target, () => fromTheWire(source, tunnelled(forgery)));
      expect({ what, arrived }).toEqual({ what, arrived: false });
    }
    // The limit of this gear, and the proof that the forgeries above are otherwise right.
    expect(await arrives(b3, () => fromTheWire(node, tunnelled(right)))).toBe(true);
    expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
  });

  it('do not arrive from a container, whose node others believe', async () => {
    await using talk = await established(b1, b3, 5_050);
    const payload = tunnelled({
      ...{ group: await tagOf('blue'), vni: VNI },
      ...{ from: b1.internal, to: b3.internal, ports: talk.ports },
    });
    using attacker = openNetns(r1.netns);
    for (const { address } of lab.nodes)
      expect(
        await arrives(b3, async () => void sendUdp(attacker, { address, port: TUNNEL_PORT }, payload)),
      ).toBe(false);
    const { drops } = (await localClient(`${lab.node('a').runDir}/tagqueue.sock`).request(
      'GET',
      '/v1/drops',
    )) as {
      drops: { reason: string; packets: number }[];
    };
    expect(drops.find(({ reason }) => reason === 'tunnel_port')!.packets).toBeGreaterThanOrEqual(2);
  });
});

describe('an error about a connection of others', () => {
  it('changes nothing for it', async () => {
    await using talk = await established(b3, b1, 5_060);
    await using other = await established(r1, r3, 5_070);
    const before = await queued();
    // Red says to b3 that its packet for b1 did not arrive; for the kernel that belongs to blue's connection.
    const quoted = ipv4Packet(
      { source: b3.internal, destination: b1.internal, protocol: PROTOCOL.udp },
      udpDatagram(talk.ports.from, talk.ports.to, Buffer.alloc(8)),
    );
    const message = Buffer.concat([Buffer.from([3, 3, 0, 0, 0, 0, 0, 0]), quoted]);
    message.writeUInt16BE(internetChecksum(message), 2);
    const error = ipv4Packet(
      { source: r1.internal, destination: b3.internal, protocol: PROTOCOL.icmp },
      message,
    );
    using netns = openNetns(r1.netns);
    using socket = openPacketSocket(netns, 'eth1', { sendOnly: true });
    const gateway = await macOf(lab.node('a'), 'si-a');
    for (let sent = 0; sent < 10; sent++)
      socket.send(ethernetFrame(macOfAddress(r1.internal), gateway, ETHERTYPE.ipv4, error));
    await until('they came to the queues of both nodes', async () => (await queued()) >= before + 20);
    const after = await queued();
    for (let round = 0; round < 10; round++) {
      expect(await talk.exchange(SILENCE_MS)).toBe(true);
      expect(await other.exchange(SILENCE_MS)).toBe(true);
    }
    expect(await queued()).toBe(after);
  });
});

describe('a node that is shut out', () => {
  it('does not go on with flows that are known', async () => {
    await using talk = await established(b1, b3, 5_080);
    const [a, b] = [lab.node('a'), lab.node('b')];
    const done = async (...words: string[]): Promise<void> => {
      expect((await a.sluice([...words])).code).toBe(0);
    };
    await done('node', 'fence', 'b', '--reason', 'it was taken over', '--yes');
    try {
      await until(
        'a has no way to it',
        async () => !(await a.exec(['ip', 'route'])).includes(flowTunnel(a.name)),
      );
      expect(await talk.exchange(SILENCE_MS)).toBe(false);
      const blue = await tagOf('blue');
      const forged = tunnelled({
        ...{ group: blue, vni: VNI, from: b3.internal, to: b1.internal },
        ports: { from: talk.ports.to, to: talk.ports.from },
      });
      expect(await arrives(b1, () => fromTheWire(b.address, forged, a))).toBe(false);
    } finally {
      await done('node', 'unfence', 'b');
    }
    await until('they talk', () => reaches(b1, b3, SILENCE_MS));
    expect(await talk.exchange(TIMEOUT_MS)).toBe(true);
  }, 60_000);
});

describe('another gear while containers run', () => {
  it.each([
    { plane: 'nfqueue', gear: 'packets' },
    { plane: 'nfqueue', gear: 'flows' },
    { plane: 'ebpf' },
    { plane: 'nfqueue', gear: 'flows' },
  ] as const)(
    'changes to %j under a flood of forbidden packets, and none arrives',
    async (tagqueue) => {
      const stop = new AbortController();
      const floods = [flood(b1, r3, stop.signal), flood(b1, r1, stop.signal), flood(r3, b1, stop.signal)];
      using victims = watchFor([r1, r3, b1]);
      for (const node of lab.nodes) await node.restart({ tagqueue });
      await until('blue talks', () => reaches(b1, b3, SILENCE_MS));
      await until('red talks', () => reaches(r3, r1, SILENCE_MS));
      stop.abort();
      const sent = await Promise.all(floods);
      process.stdout.write(
        `${Object.values(tagqueue).join('/')}: forbidden packets sent ${sent.join(' + ')}, arrived ${victims.arrived()}\n`,
      );
      for (const packets of sent) expect(packets).toBeGreaterThan(100);
      expect(victims.arrived()).toBe(0);
      if (!('gear' in tagqueue && tagqueue.gear === 'flows')) await until('nothing is left', noTraces);
    },
    90_000,
  );

  /** Whether node a has nothing of this gear. */
  async function noTraces(): Promise<boolean> {
    const node = lab.node('a');
    const there = [
      await node.exec(['ip', '-o', 'link']),
      await node.exec(['ip', 'route']),
      await node.exec(['nft', 'list', 'tables']),
      await node.exec(['nft', 'list', 'chains', 'ip']),
      await node.exec(['iptables-nft-save']),
    ].join('');
    return !there.includes(flowTunnel(node.name)) && !/\bflow_|SLUICE-.*-flow/.test(there);
  }

  it('ends with the node', async () => {
    const node = lab.node('b');
    for (const container of [b3, r3]) await container.remove();
    await node.down();
    const tables = await node.exec(['nft', 'list', 'tables']);
    expect(await node.exec(['ip', '-o', 'link'])).not.toContain(flowTunnel(node.name));
    expect(`${tables}${await node.exec(['iptables-nft-save'])}`).not.toMatch(/sluice|SLUICE/);
  }, 30_000);
});
