/** A7 and A8: tags that red writes itself, and tags that a stranger forges on the wire. */

import { ethernetFrame } from '../../../linux/frames.ts';
import type { KeyEpoch, TenantTag } from '../../../model/names.ts';
import { TAG_BYTES } from '../../../tagqueue/options.ts';
import { siphash24 } from '../../../tagqueue/siphash.ts';
import { encodeTag, macInput } from '../../../tagqueue/wire.ts';
import { ETHERTYPE, ipv4, MORE_FRAGMENTS, PROTOCOL } from '../../frames.ts';
import { attack, framesBeforeControls, lineOf, type Suite } from '../attack.ts';
import { changed, packet, range, tagged } from '../traffic.ts';
import type { Nic, World } from '../world.ts';

const NOP = Buffer.from([1, 1, 1, 1]);
/** Nothing, then a route to be filled in: it ends where the next one begins. */
const RECORD_ROUTE = Buffer.from([1, 7, 7, 4, 0, 0, 0, 0]);
const END = Buffer.alloc(4);
/** It says that it is longer than what is left. */
const LYING = Buffer.from([7, 9, 4, 0]);
const STRICT_ROUTE = Buffer.from([137, 7, 4, 192, 0, 2, 2, 0]);
const SOURCE_ROUTE = Buffer.from([131, 7, 4, 192, 0, 2, 2, 0]);
const redInternal = ({ red }: World): Nic => red.a1.internal;
const stranger = ({ stranger }: World): World['stranger'] => stranger;

/** What not even an attacker has: a tag of blue, made with the cluster's key, for just this packet. */
function blueTag({ key, tags }: World, from: Nic, to: Nic, protocol: number = PROTOCOL.udp): Buffer {
  return encodeTag({ source: from.address, destination: to.address, protocol }, tags.blue, key);
}

/** To blue on this node and on the other. */
function toBlue(all: World, make: (to: Nic, tag: Buffer) => readonly Buffer[]): Buffer[] {
  return [all.blue.a1.internal, all.blue.b1.internal].flatMap((to) =>
    make(to, blueTag(all, redInternal(all), to)),
  );
}

const tagsOfContainers: Suite = (world) =>
  describe('A7: tags written by the container', () => {
    attack(world, {
      id: 'A7',
      name: "blue's tag, made with the cluster's own key",
      from: redInternal,
      frames: (all) => toBlue(all, (to, options) => [packet(redInternal(all), to, { options })]),
      dropped: { by: 'ip_options' },
    });
    attack(world, {
      id: 'A7',
      name: 'two tags, a tag after and before other options, a source route',
      from: redInternal,
      frames: (all) =>
        toBlue(all, (to, tag) =>
          [
            [tag, tag],
            [NOP, tag],
            [RECORD_ROUTE, tag],
            [tag, RECORD_ROUTE],
            [SOURCE_ROUTE, tag],
            [SOURCE_ROUTE],
            [tag, tag, RECORD_ROUTE],
          ].map((parts) => packet(redInternal(all), to, { options: Buffer.concat(parts) })),
        ),
      dropped: { by: 'ip_options' },
    });
    attack(world, {
      id: 'A7',
      name: 'a tag behind one to eight bytes of nothing, routes behind other options, lengths that lie, too many',
      from: redInternal,
      frames: (all) =>
        toBlue(all, (to, tag) => {
          const shifted = range(8, (i) => [Buffer.alloc(i + 1, 1), tag, Buffer.alloc(7 - i, 1)]);
          const routes = [
            [NOP, STRICT_ROUTE],
            [RECORD_ROUTE, SOURCE_ROUTE],
            [STRICT_ROUTE, NOP],
          ];
          const lies = [
            [LYING],
            [Buffer.from([7, 0, 4, 0])],
            [Buffer.from([7, 1, 4, 0])],
            [Buffer.from([1, 1, 1, 148])],
          ];
          const many = [28, 32, 36, 40].map((bytes) => [Buffer.alloc(bytes, 1)]);
          return [...shifted, ...routes, ...lies, ...many].map((parts) =>
            packet(redInternal(all), to, { options: Buffer.concat(parts) }),
          );
        }),
      dropped: { by: 'ip_options' },
    });
    attack(world, {
      id: 'A7',
      name: 'a tag behind the end of the options',
      from: redInternal,
      frames: (all) =>
        toBlue(all, (to, tag) =>
          [
            [END, tag],
            [NOP, END, tag],
            [RECORD_ROUTE, END, tag.subarray(0, 12)],
          ].map((parts) => packet(redInternal(all), to, { options: Buffer.concat(parts) })),
        ),
    });
    attack(world, {
      id: 'A7',
      name: 'a tag in the first, a middle and the last fragment',
      from: redInternal,
      frames: (all) =>
        toBlue(all, (to, options) =>
          [MORE_FRAGMENTS, MORE_FRAGMENTS | 8, 16].map((fragment) =>
            packet(redInternal(all), to, { options, fragment }, Buffer.alloc(64)),
          ),
        ),
      dropped: { by: 'ip_options' },
    });
    attack(world, {
      id: 'A7',
      name: 'a tag cut off at every byte, and header lengths that lie',
      from: redInternal,
      frames: (all) =>
        toBlue(all, (to, options) => {
          const whole = packet(redInternal(all), to, { options });
          const cut = range(TAG_BYTES, (bytes) => {
            const part = Buffer.from(whole.subarray(0, 14 + 20 + bytes));
            part.writeUInt16BE(20 + bytes, 16);
            return part;
          });
          const lies = range(16, (headerWords) => headerWords)
            .filter((headerWords) => headerWords !== 5)
            .map((headerWords) => packet(redInternal(all), to, { options, headerWords }));
          return [...cut, ...lies];
        }),
      dropped: { by: ['ip_options', 'malformed'] },
    });
    attack(world, {
      id: 'A7',
      name: 'by the other interface, straight to the other node and to internal addresses',
      from: ({ red }) => red.a1.external,
      frames: (all) => {
        const { red, blue, lab } = all;
        const { mac, gatewayMac, address } = red.a1.external;
        const send = (destination: Nic['address'], options: Buffer): Buffer =>
          ethernetFrame(mac, gatewayMac, ETHERTYPE.ipv4, ipv4({ source: address, destination, options }));
        const tag = blueTag(all, red.a1.external, blue.b1.internal);
        return [blue.b1.internal.address, blue.a1.internal.address, lab.node('b').address].map((to) =>
          send(to, tag),
        );
      },
      dropped: { by: 'ip_options' },
    });
    attack(world, {
      id: 'A7',
      name: 'a whole tagged packet as payload of an allowed one (IPIP, UDP)',
      act: (all) => {
        const { red, blue } = all;
        const inner = ipv4({
          source: blue.b1.internal.address,
          destination: blue.a1.internal.address,
          options: blueTag(all, blue.b1.internal, blue.a1.internal),
        });
        for (const protocol of [4, PROTOCOL.udp]) {
          red.a1.internal.socket.send(packet(red.a1.internal, red.b1.internal, { protocol }, inner));
          red.b1.internal.socket.send(packet(red.b1.internal, red.a1.internal, { protocol }, inner));
        }
        return 4;
      },
    });
  });

/** From blue's far container to blue's near one, as a node would send it. */
const genuine = (all: World): Buffer =>
  tagged(all, all.blue.b1.internal, all.blue.a1.internal, { tenant: all.tags.blue });
/** Where the tag begins in a frame. */
const TAG_AT = 14 + 20;

/** The genuine packet with another tag. */
function retagged(all: World, change: (tag: Buffer) => Buffer): Buffer {
  const { blue } = all;
  return tagged(all, blue.b1.internal, blue.a1.internal, {
    options: change(blueTag(all, blue.b1.internal, blue.a1.internal)),
  });
}

/** The tag with one byte changed, under a MAC that fits it: only the key's owner could. */
function resigned(all: World, at: number, value: number): Buffer {
  const { blue, key } = all;
  const flow = {
    source: blue.b1.internal.address,
    destination: blue.a1.internal.address,
    protocol: PROTOCOL.udp,
  };
  return retagged(all, (tag) => {
    const other = changed(tag, at, value);
    other.set(siphash24(key.secret, macInput(flow, other)), 8);
    return other;
  });
}

const tagsOnWire: Suite = (world) =>
  describe('A8: tags forged on the wire', () => {
    it('A8: the genuine packet that all others are made from does arrive', async () => {
      const { blue, stranger } = world();
      const bytes = genuine(world());
      stranger.socket.send(bytes);
      const payload = bytes.subarray(TAG_AT + TAG_BYTES);
      const seen = await blue.a1.internal.socket.next(
        (frame) => !frame.outgoing && frame.bytes.includes(payload),
        5_000,
      );
      expect(seen).toBeDefined();
      await framesBeforeControls(world(), []);
    });

    attack(world, {
      id: 'A8',
      name: 'each of the 64 bits of the MAC flipped',
      from: stranger,
      frames: (all) =>
        range(64, (bit) =>
          retagged(all, (tag) => changed(tag, 8 + (bit >> 3), tag[8 + (bit >> 3)]! ^ (1 << (bit & 7)))),
        ),
      dropped: { by: 'tag_forged' },
    });
    attack(world, {
      id: 'A8',
      name: 'each of the other 64 bits of the tag flipped',
      from: stranger,
      frames: (all) =>
        range(64, (bit) => retagged(all, (tag) => changed(tag, bit >> 3, tag[bit >> 3]! ^ (1 << (bit & 7))))),
      dropped: { by: ['tag_malformed', 'tag_version', 'tag_epoch', 'tag_forged'] },
    });
    attack(world, {
      id: 'A8',
      name: 'every other version, its MAC right',
      from: stranger,
      frames: (all) =>
        range(256, (version) => version)
          .filter((version) => version !== 1)
          .map((version) => resigned(all, 2, version)),
      dropped: { by: 'tag_version' },
    });
    attack(world, {
      id: 'A8',
      name: "every other epoch, made with this epoch's key, and with a key of zeros",
      from: stranger,
      frames: (all) =>
        range(256, (epoch) => epoch as KeyEpoch)
          .filter((epoch) => epoch !== all.key.epoch)
          .flatMap((epoch) =>
            [all.key.secret, Buffer.alloc(16)].map((secret) =>
              tagged(all, all.blue.b1.internal, all.blue.a1.internal, {
                tenant: all.tags.blue,
                key: { epoch, secret },
              }),
            ),
          ),
      dropped: { by: 'tag_epoch' },
    });
    attack(world, {
      id: 'A8',
      name: 'the reserved byte not zero, and tenant 0',
      from: stranger,
      frames: (all) => [
        ...range(255, (value) => resigned(all, 4, value + 1)),
        tagged(all, all.blue.b1.internal, all.blue.a1.internal, { tenant: 0 as TenantTag }),
      ],
      dropped: { by: 'tag_malformed' },
    });
    attack(world, {
      id: 'A8',
      name: "another tenant's number under blue's MAC",
      from: stranger,
      frames: (all) =>
        range(256, (value) => value)
          .filter((value) => value !== all.tags.blue)
          .map((value) => retagged(all, (tag) => changed(tag, 7, value))),
      dropped: { by: ['tag_forged', 'tag_malformed'] },
    });
    attack(world, {
      id: 'A8',
      name: "red's own tag, authentic, to blue",
      from: stranger,
      frames: (all) => [
        tagged(all, all.red.b1.internal, all.blue.a1.internal),
        tagged(all, all.red.b2.internal, all.blue.a2.internal),
      ],
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'A8',
      name: 'the tag of another source, destination and protocol',
      from: stranger,
      frames: (all) => {
        const { blue, red } = all;
        const onPacket = (options: Buffer): Buffer =>
          tagged(all, blue.b1.internal, blue.a1.internal, { options });
        return [
          onPacket(blueTag(all, blue.b2.internal, blue.a1.internal)),
          onPacket(blueTag(all, blue.b1.internal, blue.a2.internal)),
          onPacket(blueTag(all, blue.a1.internal, blue.b1.internal)),
          onPacket(blueTag(all, blue.b1.internal, blue.a1.internal, PROTOCOL.tcp)),
          onPacket(blueTag(all, red.b1.internal, blue.a1.internal)),
        ];
      },
      dropped: { by: 'tag_forged' },
    });
    attack(world, {
      id: 'A8',
      name: 'authentic, but from an address of the receiving node or outside the pool',
      from: stranger,
      frames: (all) => [
        tagged(all, all.blue.a2.internal, all.blue.a1.internal, { tenant: all.tags.blue }),
        tagged(all, all.blue.b1.external, all.blue.a1.internal, { tenant: all.tags.blue }),
      ],
      dropped: { by: 'foreign_source' },
    });
    attack(world, {
      id: 'A8',
      name: 'the tag cut off, doubled, with options before it and harmful ones behind it',
      from: stranger,
      frames: (all) => {
        const { blue } = all;
        const with_ = (options: Buffer): Buffer =>
          tagged(all, blue.b1.internal, blue.a1.internal, { options });
        const tag = blueTag(all, blue.b1.internal, blue.a1.internal);
        const stacks = [
          [NOP],
          [RECORD_ROUTE],
          [NOP, tag],
          [tag, tag],
          [RECORD_ROUTE, tag],
          [tag, SOURCE_ROUTE],
          [tag, RECORD_ROUTE, tag],
          [tag, LYING],
        ];
        const short = range(3, (words) => with_(tag.subarray(0, 4 + 4 * words)));
        return [...stacks.map((parts) => with_(Buffer.concat(parts))), ...short];
      },
      dropped: { by: 'tag_malformed' },
    });

    it('A8: red hears nothing of what blue sends over the wire, by broadcast or by chance', async () => {
      const { red, blue } = world();
      for (const { internal } of Object.values(red)) internal.socket.take();
      for (let i = 0; i < 100; i++)
        blue.a1.internal.socket.send(packet(blue.a1.internal, blue.b1.internal, {}, Buffer.alloc(64)));
      const heard = await framesBeforeControls(
        world(),
        Object.values(red).map(({ internal }) => internal),
      );
      lineOf(world(), 'A8', 'red listens while blue speaks over the wire', 100, 100 - heard.length);
      expect(heard).toEqual([]);
    });
  });

export const tags: Suite = (world) => {
  tagsOfContainers(world);
  tagsOnWire(world);
};
