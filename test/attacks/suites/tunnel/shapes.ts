/** A8: tunnels of another shape. */
import { internetChecksum } from '../../../../linux/frames.ts';
import { encodeTag } from '../../../../tagqueue/wire.ts';
import { ETHERTYPE, PROTOCOL } from '../../../frames.ts';
import { attack, type Suite } from '../../attack.ts';
import { changed, range, sendPaced, tagged } from '../../traffic.ts';
import { AT, mended, tunnelBetweenNodes, tunnelled, withRightSum } from '../../tunnel-frames.ts';
import { from, genuine, PAYLOAD, stranger } from './made.ts';

export const forgedShapes: Suite = (world) =>
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
