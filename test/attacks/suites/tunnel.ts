/** A7, A8 and A9 over the carrier `vxlan`: tunnels that red builds itself, and what a stranger forges of them on the wire. */
import { internetChecksum } from '../../../linux/frames.ts';
import { openNetns } from '../../../linux/netns.ts';
import { sendUdp } from '../../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../../model/names.ts';
import { encodeTag } from '../../../tagqueue/wire.ts';
import { ETHERTYPE, ipv4, MORE_FRAGMENTS, PROTOCOL, udp } from '../../frames.ts';
import { attack, blueNics, framesBeforeControls, lineOf, type Suite } from '../attack.ts';
import { TUNNEL_PORT } from '../carriage.ts';
import { changed, frame, packet, range, sendPaced, tagged } from '../traffic.ts';
import {
  AT,
  mended,
  TOKEN_BYTES,
  type TunnelFields,
  tunnelBetweenNodes,
  tunnelled,
  withRightSum,
} from '../tunnel-frames.ts';
import type { Nic, World } from '../world.ts';

const ip = (text: string): Ipv4 => text as Ipv4;
const stranger = ({ stranger }: World): World['stranger'] => stranger;
const PAYLOAD = udp(4000, 5000, Buffer.alloc(120));
const PATIENCE_MS = 5_000;
const BESIDE_SOURCE_PORT = 49_999;

/** From blue's far container to its near one, as its node would send it, but for what is given. */
function genuine(all: World, fields: TunnelFields = {}): Buffer {
  const { blue, tags } = all;
  const given = { payload: PAYLOAD, ...fields, tag: { tenant: tags.blue, ...fields.tag } };
  return tunnelled(all, blue.b1.internal, blue.a1.internal, given);
}

const bitsOf = (bytes: readonly number[]): { at: number; bit: number }[] =>
  bytes.flatMap((at) => range(8, (bit) => ({ at, bit: 1 << bit })));
const flipped = (bytes: Buffer, { at, bit }: { at: number; bit: number }): Buffer =>
  changed(bytes, at, bytes[at]! ^ bit);
const from = (first: number, end: number): number[] => range(end - first, (i) => first + i);

const forgedTokens: Suite = (world) =>
  describe('A8: tokens forged in the tunnel', () => {
    it('A8: the genuine packet that all others are made from does arrive', async () => {
      const { blue, stranger } = world();
      stranger.socket.send(genuine(world()));
      const seen = await blue.a1.internal.socket.next(
        ({ bytes, outgoing }) =>
          !outgoing && bytes.includes(PAYLOAD) && bytes.length === AT.inner - 30 + PAYLOAD.length,
        PATIENCE_MS,
      );
      expect(seen).toBeDefined();
      await framesBeforeControls(world(), []);
    });

    attack(world, {
      id: 'A8',
      name: 'tunnel: each of the 64 bits of the token flipped',
      from: stranger,
      frames: (all) => bitsOf(TOKEN_BYTES).map((bit) => flipped(genuine(all), bit)),
      dropped: { by: 'tag_forged' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: every other bit between outer and inner header flipped, ports apart',
      from: stranger,
      frames: (all) =>
        bitsOf(from(AT.udpLength, AT.inner).filter((at) => !TOKEN_BYTES.includes(at as never))).map((bit) =>
          flipped(genuine(all), bit),
        ),
      dropped: { by: ['tunnel_malformed', 'tag_malformed', 'tag_version', 'tag_epoch', 'tag_forged'] },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: each bit of the outer header flipped, its checksum left as it was',
      from: stranger,
      frames: (all) => bitsOf(from(AT.outer, AT.udp)).map((bit) => flipped(genuine(all), bit)),
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: to every other port of the node',
      from: stranger,
      frames: (all) =>
        range(65_536, (port) => port)
          .filter((port) => port !== TUNNEL_PORT)
          .map((port) => {
            const bytes = genuine(all);
            bytes.writeUInt16BE(port, AT.udp + 2);
            return bytes;
          }),
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: every other version, its token right',
      from: stranger,
      frames: (all) =>
        range(256, (version) => version)
          .filter((version) => version !== 1)
          .map((version) => genuine(all, { tag: { version } })),
      dropped: { by: 'tag_version' },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: every other epoch, made with this epoch's key, and with a key of zeros",
      from: stranger,
      frames: (all) =>
        range(256, (epoch) => epoch as KeyEpoch)
          .filter((epoch) => epoch !== all.key.epoch)
          .flatMap((epoch) =>
            [all.key.secret, Buffer.alloc(16)].map((secret) => genuine(all, { key: { epoch, secret } })),
          ),
      dropped: { by: 'tag_epoch' },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: tenant 0 with a right token, every other VNI under blue's, keys of zeros and ones",
      from: stranger,
      frames: (all) => [
        genuine(all, { tag: { tenant: 0 as TenantTag } }),
        ...range(256, (value) => value)
          .filter((value) => value !== all.tags.blue)
          .map((value) => changed(genuine(all), AT.reserved - 1, value)),
        ...[0, 255].map((byte) =>
          genuine(all, { key: { epoch: all.key.epoch, secret: Buffer.alloc(16, byte) } }),
        ),
      ],
      dropped: { by: ['tag_malformed', 'tag_forged'] },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: red's own, authentic, to blue",
      from: stranger,
      frames: (all) => [
        tunnelled(all, all.red.b1.internal, all.blue.a1.internal),
        tunnelled(all, all.red.b2.internal, all.blue.a2.internal),
      ],
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: the token of another source, destination, protocol, and of an option',
      from: stranger,
      frames: (all) => {
        const { blue, red } = all;
        return (
          [
            { source: blue.b2.internal.address },
            { source: red.b1.internal.address },
            { destination: blue.a2.internal.address },
            { source: blue.a1.internal.address, destination: blue.b1.internal.address },
            { protocol: PROTOCOL.tcp },
            { carrier: 'option' },
          ] as const
        ).map((signed) => genuine(all, { signed }));
      },
      dropped: { by: 'tag_forged' },
    });
    attack(world, {
      id: 'A8',
      name: "the tunnel's token in an option",
      from: stranger,
      frames: (all) => {
        const { blue } = all;
        const own = genuine(all);
        const options = encodeTag(
          { source: blue.b1.internal.address, destination: blue.a1.internal.address, protocol: PROTOCOL.udp },
          all.tags.blue,
          all.key,
        );
        options.set(
          TOKEN_BYTES.map((at) => own[at]!),
          8,
        );
        return [tagged(all, blue.b1.internal, blue.a1.internal, { options })];
      },
      dropped: { by: 'tag_forged' },
    });
  });

const forgedEnds: Suite = (world) =>
  describe('A8: tunnels from and to where none are', () => {
    attack(world, {
      id: 'A8',
      name: 'tunnel: the outer source is no node, another one, the node itself, a container',
      from: stranger,
      frames: (all) => {
        const { lab, blue, red } = all;
        const sources = [
          ...[ip('192.0.2.66'), lab.internet.address, lab.node('a').address, ip('0.0.0.0'), ip('127.0.0.1')],
          ...[blue.b1.external.address, red.b1.external.address, blue.b1.external.gateway],
        ];
        return sources.map((source) => genuine(all, { ends: { source } }));
      },
      dropped: { by: 'tunnel_peer' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: to other addresses of the node, to everybody, to loopback, to a container',
      from: stranger,
      frames: (all) => {
        const { blue, red } = all;
        const destinations = [
          ...[blue.a1.external.gateway, blue.a1.internal.gateway, ip('255.255.255.255'), ip('224.0.0.1')],
          ...[ip('127.0.0.1'), red.a1.internal.address, blue.a1.internal.address, blue.a1.external.address],
        ];
        return destinations.map((destination) => genuine(all, { ends: { destination } }));
      },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: an inner source of the receiving node, of nobody's block, outside the pool",
      from: stranger,
      frames: (all) => {
        const { blue, lab } = all;
        const sources = [
          ...[blue.a2.internal.address, blue.a1.internal.gateway, blue.a1.internal.address],
          ...[
            ip('10.79.255.1'),
            blue.b1.external.address,
            lab.node('b').address,
            ip('127.0.0.1'),
            ip('0.0.0.0'),
          ],
        ];
        return sources.map((source) => genuine(all, { inner: { source } }));
      },
      dropped: { by: 'foreign_source' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: an inner destination of another node, of the node itself, outside the pool',
      from: stranger,
      frames: (all) => {
        const { blue, lab } = all;
        const destinations = [
          ...[blue.b2.internal.address, ip('10.79.255.1'), blue.a1.external.address, lab.node('a').address],
          ...[lab.internet.address, ip('127.0.0.1'), ip('255.255.255.255'), ip('224.0.0.1')],
        ];
        return destinations.map((destination) => genuine(all, { inner: { destination } }));
      },
      dropped: { by: 'tunnel_destination' },
    });
  });

const forgedShapes: Suite = (world) =>
  describe('A8: tunnels of another shape', () => {
    attack(world, {
      id: 'A8',
      name: 'tunnel: all other flags, reserved bits, inner addresses of groups',
      from: stranger,
      frames: (all) => [
        ...range(256, (flags) => flags)
          .filter((flags) => flags !== 8)
          .map((flags) => changed(genuine(all), AT.vxlan, flags)),
        ...[1, 2, 3].map((byte) => changed(genuine(all), AT.vxlan + byte, 0x80)),
        changed(genuine(all), AT.reserved, 1),
        ...[AT.destination, AT.source].flatMap((at) =>
          [0, 1, 3, 255].map((kind) => changed(genuine(all), at, kind)),
        ),
      ],
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: a UDP checksum, right or wrong',
      from: stranger,
      frames: (all) => [
        ...range(16, (bit) => {
          const bytes = genuine(all);
          bytes.writeUInt16BE(1 << bit, AT.udpChecksum);
          return bytes;
        }),
        withUdpChecksum(genuine(all)),
      ],
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: every inner EtherType but IPv4, VLAN 0 before the inner packet',
      from: stranger,
      frames: (all) => [
        ...range(65_536, (type) => type)
          .filter((type) => type !== ETHERTYPE.ipv4)
          .map((type) => {
            const bytes = genuine(all);
            bytes.writeUInt16BE(type, AT.type);
            return bytes;
          }),
        ...[ETHERTYPE.vlan, ETHERTYPE.serviceVlan].map((type) => {
          const bytes = genuine(all);
          const tag = Buffer.from([type >> 8, type & 255, 0, 0]);
          return mended(Buffer.concat([bytes.subarray(0, AT.type), tag, bytes.subarray(AT.type)]));
        }),
      ],
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: cut off at every byte behind the ports',
      from: stranger,
      frames: (all) => {
        const whole = genuine(all);
        return from(AT.udp + 4, whole.length).map((length) => whole.subarray(0, length));
      },
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: cut off at every byte, and the outer lengths say so',
      from: stranger,
      frames: (all) => {
        const whole = genuine(all);
        return from(AT.udp + 4, whole.length).map((length) => mended(whole.subarray(0, length)));
      },
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: cut off before the ports',
      from: stranger,
      frames: (all) => from(AT.outer, AT.udp + 4).map((length) => genuine(all).subarray(0, length)),
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: something behind the inner packet, inner lengths, versions, header lengths that lie',
      from: stranger,
      frames: (all) => {
        const whole = genuine(all);
        const longer = [1, 2, 4, 16, 100].map((more) => mended(Buffer.concat([whole, Buffer.alloc(more)])));
        const lies = [
          ...[0, 20, 100, 147, 149, 65_535].map((totalLength) => ({ totalLength })),
          ...[0, 5, 6, 15].map((version) => ({ version })),
          ...[0, 1, 2, 3, 4].map((headerWords) => ({ headerWords })),
        ];
        return [...longer, ...lies.map((inner) => genuine(all, { inner }))];
      },
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: options in the outer header, also blue's tag; congestion noted on what cannot tell",
      from: stranger,
      frames: (all) => {
        const { blue, key, tags } = all;
        const flow = {
          source: blue.b1.internal.address,
          destination: blue.a1.internal.address,
          protocol: PROTOCOL.udp,
        };
        const stacks = [Buffer.from([1, 1, 1, 1]), encodeTag(flow, tags.blue, key)];
        const congested = changed(genuine(all), AT.outer + 1, 3);
        return [...stacks.map((options) => withOuterOptions(genuine(all), options)), withRightSum(congested)];
      },
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel in a tunnel: red's own, authentic, with blue's inside; and for the node's own tunnel port",
      act: async (all) => {
        const { red, blue, tags, lab, stranger } = all;
        const given = { payload: PAYLOAD, tag: { tenant: tags.blue } };
        const inside = tunnelBetweenNodes(all, blue.b1.internal, blue.a1.internal, given);
        const frames = [
          tunnelled(all, red.b1.internal, red.a1.internal, { payload: inside.subarray(20) }),
          tunnelled(all, red.b1.internal, red.a1.internal, { inner: { protocol: 4 }, payload: inside }),
          tunnelled(all, red.b1.internal, red.a1.internal, {
            inner: { destination: lab.node('a').address },
            payload: inside.subarray(20),
          }),
          tagged(all, red.b1.internal, red.a1.internal, {}, inside.subarray(20)),
        ];
        await sendPaced(stranger.socket, frames);
        return frames.length;
      },
    });
    attack(world, {
      id: 'A8',
      name: "blue's option tag inside red's tunnel, and red's tunnel around a packet to blue that has one",
      from: stranger,
      frames: (all) => {
        const { red, blue, tags, key } = all;
        const options = encodeTag(
          { source: red.b1.internal.address, destination: blue.a1.internal.address, protocol: PROTOCOL.udp },
          tags.blue,
          key,
        );
        return [tunnelled(all, red.b1.internal, blue.a1.internal, { inner: { options } })];
      },
      dropped: { by: 'other_tenant' },
    });
  });

function withUdpChecksum(frame: Buffer): Buffer {
  const pseudo = Buffer.concat([
    frame.subarray(AT.outer + 12, AT.outer + 20),
    Buffer.from([0, PROTOCOL.udp]),
    frame.subarray(AT.udpLength, AT.udpLength + 2),
    frame.subarray(AT.udp),
  ]);
  const copy = Buffer.from(frame);
  copy.writeUInt16BE(internetChecksum(evened(pseudo)), AT.udpChecksum);
  return copy;
}

const evened = (bytes: Buffer): Buffer =>
  bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);

function withOuterOptions(frame: Buffer, options: Buffer): Buffer {
  const longer = Buffer.concat([frame.subarray(0, AT.udp), options, frame.subarray(AT.udp)]);
  longer[AT.outer] = 0x45 + options.length / 4;
  longer.writeUInt16BE(longer.length - AT.outer, AT.outer + 2);
  return withRightSum(longer);
}

/** The tunnel's packet as fragments. @param cut  where each but the first begins, in bytes of outer payload */
function fragmentsOf(whole: Buffer, cut: readonly number[]): Buffer[] {
  const body = whole.subarray(AT.udp);
  const ends = [...cut, body.length];
  return [0, ...cut].map((start, i) => {
    const piece = Buffer.concat([whole.subarray(0, AT.udp), body.subarray(start, ends[i])]);
    piece.writeUInt16BE(piece.length - AT.outer, AT.outer + 2);
    piece.writeUInt16BE((i < cut.length ? MORE_FRAGMENTS : 0) | (start / 8), AT.outer + 6);
    return withRightSum(piece);
  });
}

const outerFragments: Suite = (world) =>
  describe('A9: fragments of the tunnel', () => {
    attack(world, {
      id: 'A9',
      name: 'tunnel: genuine, in fragments cut at every eighth byte, in both orders',
      from: stranger,
      frames: (all) =>
        range(18, (i) => 8 * (i + 1)).flatMap((at) => {
          const parts = fragmentsOf(genuine(all), [at]);
          return [...parts, ...parts.toReversed()];
        }),
    });
    attack(world, {
      id: 'A9',
      name: 'tunnel: first fragments alone',
      from: stranger,
      frames: (all) => range(18, (i) => fragmentsOf(genuine(all), [8 * (i + 1)])[0]!),
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A9',
      name: "tunnel: red's inner first fragment, authentic, and blue's later ones without a tunnel",
      from: stranger,
      frames: (all) => {
        const { red, blue } = all;
        const parts = [64, 128];
        return [
          tunnelled(all, red.b1.internal, blue.a1.internal, {
            inner: { fragment: MORE_FRAGMENTS },
            payload: Buffer.alloc(64),
          }),
          ...parts.map((start) =>
            tagged(
              all,
              blue.b1.internal,
              blue.a1.internal,
              { fragment: start / 8, options: Buffer.alloc(0) },
              Buffer.alloc(64),
            ),
          ),
        ];
      },
      dropped: { by: ['other_tenant', 'untagged'] },
    });
  });

/** A tunnel to blue with the cluster's own key, in UDP from one of red's interfaces. */
function fromRed(all: World, nic: Nic, destination: Ipv4, fields: object = {}): Buffer {
  const { blue, tags } = all;
  const far = nic.node === 'a' ? blue.b1.internal : blue.a1.internal;
  const near = nic.node === 'a' ? blue.a1.internal : blue.b1.internal;
  const given = { payload: PAYLOAD, tag: { tenant: tags.blue } };
  const inside = tunnelBetweenNodes(all, far, near, given).subarray(20);
  return frame(
    nic,
    nic.gatewayMac,
    ETHERTYPE.ipv4,
    ipv4({ source: nic.address, destination, ...fields }, inside),
  );
}

/** All addresses of machines that the tunnel could lead to. */
const machines = ({ lab, red }: World, side: Nic['side']): Ipv4[] => [
  lab.node('a').address,
  lab.node('b').address,
  lab.internet.address,
  red.a1[side].gateway,
  ...(side === 'external' ? [red.b1.external.gateway] : []),
];

const tunnelsOfContainers: Suite = (world) =>
  describe('A7: tunnels that red builds itself', () => {
    attack(world, {
      id: 'A7',
      name: "tunnel with the cluster's own key, to nodes, gateways, the internet, external",
      from: ({ red }) => red.a1.external,
      frames: (all) => machines(all, 'external').map((to) => fromRed(all, all.red.a1.external, to)),
      dropped: { by: 'tunnel_port' },
    });
    attack(world, {
      id: 'A7',
      name: 'the same, internal',
      from: ({ red }) => red.a1.internal,
      frames: (all) => machines(all, 'internal').map((to) => fromRed(all, all.red.a1.internal, to)),
      dropped: { by: ['tunnel_port', 'not_internal'] },
    });
    attack(world, {
      id: 'A7',
      name: 'tunnel in fragments: the first has the port, the later ones do not',
      act: async (all) => {
        const { red, lab } = all;
        const whole = fromRed(all, red.a1.external, lab.node('b').address);
        const parts = [16, 64, 128].flatMap((cut) => fragmentsOf(whole, [cut]));
        await sendPaced(red.a1.external.socket, [...parts, ...parts.toReversed()]);
        return parts.length * 2;
      },
      dropped: { by: 'tunnel_port', times: 0.5 },
    });
    attack(world, {
      id: 'A7',
      name: "tunnel to blue's and to red's own containers, to everybody and to groups",
      act: async (all) => {
        const { red, blue } = all;
        const me = red.a1.internal;
        const given = { payload: PAYLOAD, tag: { tenant: all.tags.blue } };
        const inside = tunnelBetweenNodes(all, blue.b1.internal, blue.a1.internal, given).subarray(20);
        const frames = [
          ...[blue.a1.internal, blue.b1.internal, red.a2.internal, red.b1.internal].map((to) =>
            packet(me, to, {}, inside),
          ),
          ...['10.64.3.255', '255.255.255.255', '224.0.0.1'].map((to) => fromRed(all, me, ip(to))),
        ];
        await sendPaced(me.socket, frames);
        return frames.length;
      },
    });
    attack(world, {
      id: 'A7',
      name: 'tunnel by its own kernel, from the tunnel port to the tunnel port',
      act: ({ red, lab }) => {
        using netns = openNetns(red.a1.container.netns);
        const targets = [lab.node('a').address, lab.node('b').address, red.a1.external.gateway];
        for (const address of targets)
          for (const bytes of [0, 50, 1_400])
            sendUdp(netns, { address, port: TUNNEL_PORT }, Buffer.alloc(bytes));
        return targets.length * 3;
      },
      dropped: { by: 'tunnel_port' },
    });

    it('A7: red publishes the tunnel port, and is told that it is not to be had', async () => {
      const { lab } = world();
      const mapping = { hostPort: TUNNEL_PORT, containerPort: TUNNEL_PORT, protocol: 'udp' };
      const attempts = [mapping, { ...mapping, hostIP: lab.node('a').address }];
      for (const portMapping of attempts) {
        const asked = lab.container('a', 'red', 'tunnel-trap', {
          runtimeConfig: { portMappings: [portMapping] },
        });
        await expect(asked).rejects.toThrow(`udp port ${TUNNEL_PORT} of this node`);
      }
      lineOf(world(), 'A7', 'publishes the tunnel port', attempts.length, attempts.length);
    });

    it('A7: not even a port that is in the maps takes what comes to the tunnel', async () => {
      const all = world();
      const { lab, stranger, blue, red } = all;
      const node = lab.node('a');
      const table = ['ip', 'sluice_a', 'ports_any'] as const;
      const ports = [TUNNEL_PORT, TUNNEL_PORT + 1];
      const elements = (what: (port: number) => string): string => `{ ${ports.map(what).join(', ')} }`;
      const target = `${red.a1.external.address} . ${TUNNEL_PORT}`;
      await node.exec(['nft', 'add', 'element', ...table, elements((port) => `udp . ${port} : ${target}`)]);
      try {
        for (const { socket } of blueNics(all)) socket.take();
        const own = genuine(all);
        const forged = bitsOf(TOKEN_BYTES).map((bit) => flipped(own, bit));
        await sendPaced(stranger.socket, [own, ...forged]);
        // By the port beside it, red does get what is sent.
        const beside = Buffer.from(own);
        beside.writeUInt16BE(TUNNEL_PORT + 1, AT.udp + 2);
        // A flow of its own: one that began before the port was published would stay as it was.
        beside.writeUInt16BE(BESIDE_SOURCE_PORT, AT.udp);
        stranger.socket.send(beside);
        const caught: string[] = [];
        const seen = await red.a1.external.socket.next(({ bytes, outgoing }) => {
          const isOurs = !outgoing && bytes.includes(PAYLOAD);
          if (isOurs) caught.push(bytes.toString('hex'));
          return isOurs;
        }, PATIENCE_MS);
        expect(seen).toBeDefined();
        caught.push(
          ...red.a1.external.socket
            .take()
            .filter(({ bytes, outgoing }) => !outgoing && bytes.includes(PAYLOAD))
            .map(({ bytes }) => bytes.toString('hex')),
        );
        const tried = forged.length + 1;
        lineOf(
          all,
          'A7',
          'what comes to the tunnel, past a published port',
          tried,
          tried + 1 - caught.length,
        );
        expect(caught).toHaveLength(1);
        if (all.variant.accepted.includes('vxlan')) {
          const told = await blue.a1.internal.socket.next(
            ({ bytes, outgoing }) => !outgoing && bytes.includes(PAYLOAD),
            PATIENCE_MS,
          );
          expect(told).toBeDefined();
        }
      } finally {
        await node.exec(['nft', 'delete', 'element', ...table, elements((port) => `udp . ${port}`)]);
      }
      await framesBeforeControls(all, []);
    });
  });

/** Where no tunnel is taken in, the same comes to nobody. */
export const noTunnel: Suite = (world) => {
  describe('A8: tunnels where none are taken in', () => {
    attack(world, {
      id: 'A8',
      name: "tunnel: what blue's own node would send, and all its bits flipped",
      from: stranger,
      frames: (all) => {
        const own = genuine(all);
        return [own, ...bitsOf(from(AT.outer, AT.inner + 20)).map((bit) => flipped(own, bit))];
      },
    });
  });
  tunnelsOfContainers(world);
};

export const tunnel: Suite = (world) => {
  forgedTokens(world);
  forgedEnds(world);
  forgedShapes(world);
  outerFragments(world);
  tunnelsOfContainers(world);
};
