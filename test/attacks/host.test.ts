/** A10: red reaches for the machines: the node's own services, its loopback, the cluster's API, the cloud's metadata. */

import { batch } from '../../lab/network.ts';
import { ethernetFrame, internetChecksum } from '../../linux/frames.ts';
import { openNetns } from '../../linux/netns.ts';
import {
  askTcp,
  type Destination,
  listenTcp,
  listenUdp,
  ping,
  sendUdp,
  type TcpOutcome,
  type UdpListener,
} from '../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { ETHERTYPE, ipv4, PROTOCOL, udp } from '../frames.ts';
import { attack, blueNics, framesBeforeControls, line } from './attack.ts';
import { BRIDGE_GROUPS, frame, range, sendPaced, UNASKED_GROUPS } from './traffic.ts';
import { type Member, type NodeLetter, type World, worldForFile } from './world.ts';

const world = worldForFile('atkhost');
const ip = (text: string): Ipv4 => text as Ipv4;
const SERVICE = 9999;
const API = 7070;
const METADATA = ip('169.254.169.254');
const SILENCE_MS = 250;
const PATIENCE_MS = 5_000;

/** A service of the node on all its addresses, TCP and UDP, and who has reached it. */
interface Service extends AsyncDisposable {
  readonly clients: string[];
  readonly udp: UdpListener;
}

async function serviceOn(node: NodeLetter): Promise<Service> {
  using netns = openNetns(world().lab.node(node).netns);
  const clients: string[] = [];
  const tcp = await listenTcp(netns, SERVICE, (client) => {
    clients.push(client);
    return 'you are in\n';
  });
  const datagrams = await listenUdp(netns, SERVICE);
  return {
    clients,
    udp: datagrams,
    [Symbol.asyncDispose]: async () => {
      await tcp[Symbol.asyncDispose]();
      await datagrams[Symbol.asyncDispose]();
    },
  };
}

async function ask(from: { readonly netns: string }, to: Destination, ms = SILENCE_MS): Promise<TcpOutcome> {
  using netns = openNetns(from.netns);
  return askTcp(netns, to, 'let me in\n', ms);
}

/** By TCP, by UDP and by ping, all at once. @returns those that were answered in any way */
async function knock(from: Member, targets: readonly Destination[]): Promise<string[]> {
  using netns = openNetns(from.container.netns);
  const answers = targets.map(async ({ address, port }) => {
    sendUdp(netns, { address, port }, Buffer.from(`from ${from.name}`));
    const tcp = await askTcp(netns, { address, port }, 'let me in\n', SILENCE_MS);
    const echo = await ping(netns, address, Buffer.from(`${address} ${port}`), SILENCE_MS);
    return tcp.state === 'silent' && echo === undefined
      ? []
      : [`${address}:${port} ${tcp.state} ${echo ?? ''}`];
  });
  return (await Promise.all(answers)).flat();
}

function ownAddresses(member: Member, { lab }: World): Ipv4[] {
  return [member.internal.gateway, member.external.gateway, lab.node(member.internal.node).address];
}

describe('A10: the node', () => {
  it('A10: answers those who may ask: the other node, the internet', async () => {
    await using service = await serviceOn('a');
    const { lab } = world();
    const to = { address: lab.node('a').address, port: SERVICE };
    expect(await ask(lab.node('b'), to, PATIENCE_MS)).toMatchObject({ state: 'answered' });
    expect(await ask(lab.internet, to, PATIENCE_MS)).toMatchObject({ state: 'answered' });
    using internet = openNetns(lab.internet.netns);
    sendUdp(internet, to, Buffer.from('from the internet'));
    await until(() => service.udp.received(Buffer.from('from the internet')));
    expect(service.clients).toHaveLength(2);
  });

  it.each(['a1', 'b1'] as const)('A10: its gateway and uplink addresses, from %s', async (name) => {
    const all = world();
    const red = all.red[name];
    await using service = await serviceOn(red.internal.node);
    const targets = ownAddresses(red, all).flatMap((address) =>
      [SERVICE, 22, 53, API].map((port) => ({ address, port })),
    );
    const reached = [...(await knock(red, targets)), ...service.clients];
    line(
      'A10',
      `own node's addresses, TCP, UDP and ping, from ${red.name}`,
      targets.length * 3,
      targets.length * 3 - reached.length,
    );
    expect(reached).toEqual([]);
    expect(service.udp.received(Buffer.from(`from ${red.name}`))).toBe(false);
  });

  it("A10: the other node's gateway addresses, which the wire leads to", async () => {
    const { red } = world();
    await using service = await serviceOn('a');
    const targets = [red.a1.internal.gateway, red.a1.external.gateway].flatMap((address) =>
      [SERVICE, 22].map((port) => ({ address, port })),
    );
    const reached = [...(await knock(red.b1, targets)), ...service.clients];
    line(
      'A10',
      "the other node's gateways, TCP, UDP and ping",
      targets.length * 3,
      targets.length * 3 - reached.length,
    );
    expect(reached).toEqual([]);
    expect(service.udp.received(Buffer.from(`from ${red.b1.name}`))).toBe(false);
  });

  it.each(['internal', 'external'] as const)(
    'A10: in frames to the groups that a bridge keeps to itself (01:80:c2:00:00:0x), %s',
    async (side) => {
      const all = world();
      const { red, stranger, lab } = all;
      await using service = await serviceOn('a');
      const nic = red.a1[side];
      const addresses = [red.a1.internal.gateway, red.a1.external.gateway, lab.node('a').address];
      const text = Buffer.from(`by a group, ${side}`);
      const frames = [...BRIDGE_GROUPS, ...UNASKED_GROUPS].flatMap((group) =>
        addresses.flatMap((destination) => [
          frame(
            nic,
            group,
            ETHERTYPE.ipv4,
            ipv4({ source: nic.address, destination }, udp(4000, SERVICE, text)),
          ),
          frame(nic, group, ETHERTYPE.ipv4, echoRequest(nic.address, destination)),
        ]),
      );
      nic.socket.take();
      await sendPaced(nic.socket, frames);
      const answered = await nic.socket.next(
        ({ bytes, outgoing }) => !outgoing && bytes[23] === PROTOCOL.icmp,
        SILENCE_MS,
      );
      stranger.socket.send(
        frame(
          stranger,
          stranger.uplinks.a,
          ETHERTYPE.ipv4,
          ipv4(
            { source: ip('192.0.2.66'), destination: lab.node('a').address },
            udp(4000, SERVICE, Buffer.from('from the wire')),
          ),
        ),
      );
      await until(() => service.udp.received(Buffer.from('from the wire')));
      const heard = service.udp.received(text);
      const reached = heard || answered !== undefined;
      line(
        'A10',
        `the node, in frames to groups of bridges, ${side}`,
        frames.length,
        reached ? 0 : frames.length,
      );
      expect({ heard, answer: answered?.bytes.toString('hex') }).toEqual({ heard: false, answer: undefined });
    },
  );

  for (const side of ['internal', 'external'] as const) {
    attack(world, {
      id: 'A10',
      name: `loopback addresses behind the gateway's MAC (CVE-2020-8558), ${side}`,
      from: ({ red }) => red.a1[side],
      frames: ({ red }) =>
        range(256, (i) => {
          const { mac, gatewayMac, address } = red.a1[side];
          const destination = ip(i === 0 ? '127.0.0.1' : `127.${i}.${255 - i}.1`);
          return ethernetFrame(
            mac,
            gatewayMac,
            ETHERTYPE.ipv4,
            ipv4({ source: address, destination }, udp(4000, SERVICE)),
          );
        }),
      dropped: { by: 'loopback' },
    });
  }

  it('A10: loopback addresses from the wire', async () => {
    const { stranger, lab } = world();
    await using service = await serviceOn('a');
    const send = (destination: Ipv4, text: string): void =>
      stranger.socket.send(
        frame(
          stranger,
          stranger.uplinks.a,
          ETHERTYPE.ipv4,
          ipv4({ source: ip('192.0.2.66'), destination }, udp(4000, SERVICE, Buffer.from(text))),
        ),
      );
    for (let i = 1; i <= 100; i++) send(ip(`127.0.0.${i}`), 'by loopback');
    send(lab.node('a').address, 'by its address');
    await until(() => service.udp.received(Buffer.from('by its address')));
    const reached = service.udp.received(Buffer.from('by loopback'));
    line('A10', 'loopback addresses from the wire', 100, reached ? 0 : 100);
    expect(reached).toBe(false);
  });
});

describe('A10: the cluster and the cloud', () => {
  it('A10: the cluster API, from containers of both nodes', async () => {
    const { red, lab } = world();
    const api = { address: lab.node('a').address, port: API };
    expect(await ask(lab.node('b'), api, 1_000)).toMatchObject({ state: 'open' });
    const outcomes = await Promise.all(
      [red.a1, red.a2, red.b1, red.b2].map(({ container }) => ask(container, api)),
    );
    line(
      'A10',
      'the cluster API, from both nodes',
      outcomes.length,
      outcomes.filter(({ state }) => state === 'silent').length,
    );
    for (const outcome of outcomes) expect(outcome).toEqual({ state: 'silent' });
  });

  it('A10: metadata and link-local addresses, which the node itself reaches', async () => {
    const { red, lab } = world();
    await batch([`addr add ${METADATA}/32 dev lo`, 'addr add 169.254.1.1/32 dev lo'], lab.internet.namespace);
    const targets = [METADATA, ip('169.254.1.1')].map((address) => ({ address, port: 80 }));
    for (const to of targets)
      expect(await ask(lab.node('a'), to, PATIENCE_MS)).toMatchObject({ state: 'answered' });
    expect(
      await ask(red.a1.container, { address: lab.internet.address, port: 80 }, PATIENCE_MS),
    ).toMatchObject({ state: 'answered' });
    const reached = (await Promise.all([red.a1, red.b1].map((from) => knock(from, targets)))).flat();
    line('A10', 'metadata and link-local addresses', targets.length * 6, targets.length * 6 - reached.length);
    expect(reached).toEqual([]);
  });
});

describe("A10: blue's connections through the node", () => {
  const PORT = 9998;
  /** ICMP errors and redirects, each about this packet. */
  const errorsAbout = (packet: Buffer): Buffer[] =>
    [
      [3, 1],
      [3, 4],
      [4, 0],
      [5, 1],
      [11, 0],
      [12, 0],
    ].map(([type = 0, code = 0]) => {
      const message = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0x05, 0xdc]), packet]);
      message.writeUInt16BE(checksumOf(message), 2);
      return message;
    });

  it('A10: ICMP errors about them, made up by red, reach nobody; the same from the internet would', async () => {
    const all = world();
    const { red, blue, lab, stranger, internet } = all;
    using netns = openNetns(lab.internet.netns);
    await using _silentEnd = await listenUdp(netns, PORT);
    const { mac, gatewayMac, address } = blue.a1.external;
    const outgoing = ipv4({ source: address, destination: lab.internet.address }, udp(4444, PORT));
    blue.a1.external.socket.send(ethernetFrame(mac, gatewayMac, ETHERTYPE.ipv4, outgoing));
    const seen = await internet.next(
      ({ bytes }) => bytes.length > 38 && bytes.readUInt16BE(36) === PORT,
      PATIENCE_MS,
    );
    const onWire = seen!.bytes.subarray(14);
    for (const { socket } of blueNics(all)) socket.take();

    const me = red.a1.external;
    const messages = errorsAbout(onWire).flatMap((message) =>
      [lab.node('a').address, address].map((destination) =>
        ethernetFrame(
          me.mac,
          me.gatewayMac,
          ETHERTYPE.ipv4,
          ipv4({ source: me.address, destination, protocol: PROTOCOL.icmp }, message),
        ),
      ),
    );
    for (const message of messages) me.socket.send(message);
    const arrived = await framesBeforeControls(all, blueNics(all));
    line('A10', "ICMP errors about blue's connections", messages.length, messages.length - arrived.length);
    expect(arrived).toEqual([]);

    const [error] = errorsAbout(onWire);
    const honest = ipv4(
      { source: ip('192.0.2.66'), destination: lab.node('a').address, protocol: PROTOCOL.icmp },
      error,
    );
    stranger.socket.send(ethernetFrame(stranger.mac, stranger.uplinks.a, ETHERTYPE.ipv4, honest));
    const told = await blue.a1.external.socket.next(
      ({ bytes, outgoing: own }) => !own && bytes[23] === PROTOCOL.icmp && bytes[34] === 3,
      PATIENCE_MS,
    );
    expect(told).toBeDefined();
  });

  attack(world, {
    id: 'A10',
    name: "from the wire: straight to blue's external addresses, as if the node were a router",
    from: ({ stranger }) => stranger,
    frames: ({ stranger, blue }) =>
      [blue.a1, blue.a2].flatMap(({ external }) =>
        [22, 80, 4444].map((port) =>
          ethernetFrame(
            stranger.mac,
            stranger.uplinks.a,
            ETHERTYPE.ipv4,
            ipv4({ source: ip('192.0.2.66'), destination: external.address }, udp(4000, port)),
          ),
        ),
      ),
  });
});

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function echoRequest(source: Ipv4, destination: Ipv4): Buffer {
  const message = Buffer.from([8, 0, 0, 0, 0x12, 0x34, 0, 1]);
  message.writeUInt16BE(checksumOf(message), 2);
  return ipv4({ source, destination, protocol: PROTOCOL.icmp }, message);
}

function checksumOf(bytes: Buffer): number {
  return internetChecksum(bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]));
}
