/** Forty thousand frames that chance has made, from red's interfaces and from the wire: none may reach blue. */

import { ethernetFrame } from '../../../linux/frames.ts';
import type { KeyEpoch } from '../../../model/names.ts';
import { BROADCAST, ETHERTYPE, extension, ipv4, ipv6, MORE_FRAGMENTS, PROTOCOL, udp } from '../../frames.ts';
import { blueNics, framesBeforeControls, lineOf, type Suite, totalDrops } from '../attack.ts';
import { arpFrame, frame, packet, sendPaced, tagged } from '../traffic.ts';
import { tunnelled } from '../tunnel-frames.ts';
import type { Nic, NodeLetter, World } from '../world.ts';

const FRAMES = 20_000;
/** SLUICE_FUZZ_SEED repeats a run. */
const SEED = Number(process.env['SLUICE_FUZZ_SEED'] ?? Date.now() % 2 ** 32);
/** Of a frame as the driver takes it: header only, and the largest with a VLAN tag on the wire. */
const SHORTEST = 14;
const ETHERTYPE_AT = 12;
const LONGEST = 1_500;

/** Numbers below `below`, the same for the same seed (mulberry32). */
function chance(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** What a field may be when it is not what it should be. */
const TELLING = [0, 1, 4, 5, 6, 8, 9, 15, 16, 20, 36, 60, 64, 68, 127, 128, 158, 254, 255];

/**
 * Changes one to eight places: bits, bytes, whole runs; cuts, grows, repeats. Mostly in the first 64 bytes.
 * @param first  where it may begin: a frame on the wire must keep its MAC address to get to the node
 */
function mutated(original: Buffer, dice: (below: number) => number, first: number): Buffer {
  let bytes = Buffer.from(original);
  for (let changes = 1 + dice(8); changes > 0; changes--) {
    const end = dice(4) === 0 ? bytes.length : Math.min(bytes.length, 64);
    const at = first + dice(end - first);
    const how = dice(8);
    if (how <= 2) bytes[at] = bytes[at]! ^ (1 << dice(8));
    else if (how <= 4) bytes[at] = TELLING[dice(TELLING.length)]!;
    else if (how === 5) bytes[at] = dice(256);
    else if (how === 6) bytes = bytes.subarray(0, Math.max(SHORTEST, at));
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(first, at - dice(24)))]);
  }
  return bytes.length < SHORTEST
    ? Buffer.concat([bytes, Buffer.alloc(SHORTEST)])
    : bytes.subarray(0, LONGEST);
}

/** What chance begins with: one frame of each kind that red could think of. */
function seedsOfRed({ red, blue, key, tags }: World, side: Nic['side']): Buffer[] {
  const from = red.a1[side];
  const options = Buffer.from([0x9e, 16, 1, key.epoch, 0, 0, 0, tags.blue, 1, 2, 3, 4, 5, 6, 7, 8]);
  const toBlue = [blue.a1, blue.b1].flatMap((to) => [
    packet(from, to[side]),
    packet(from, to[side], { options }),
    packet(from, to[side], { source: to[side].address }),
    packet(from, to[side], { fragment: MORE_FRAGMENTS }, Buffer.alloc(64)),
    packet(from, to[side], { protocol: PROTOCOL.icmp }, Buffer.alloc(32)),
    arpFrame(from, { senderIp: to[side].address }),
    frame(
      from,
      to[side].mac,
      ETHERTYPE.vlan,
      Buffer.concat([
        Buffer.from('00000800', 'hex'),
        ipv4({ source: from.address, destination: to[side].address }),
      ]),
    ),
    frame(
      from,
      to[side].mac,
      ETHERTYPE.ipv6,
      ipv6(0, extension(PROTOCOL.icmpv6, Buffer.from([134, 0, 0, 0]))),
    ),
    frame(from, BROADCAST, 60, Buffer.concat([Buffer.from('aaaa030000000800', 'hex'), udp(1, 2)])),
  ]);
  return [...toBlue, arpFrame(from, {}), packet(from, red.a2[side]), packet(from, red.b1[side])];
}

/** From the wire, by both carriers: red's own authentic tags, and blue's under a key that is not the cluster's. */
function seedsOfWire(all: World, node: NodeLetter): Buffer[] {
  const { red, blue, stranger, tags, key } = all;
  const foreign = { epoch: key.epoch, secret: Buffer.alloc(16, 7) };
  const unknown = { epoch: ((key.epoch + 1) % 256) as KeyEpoch, secret: key.secret };
  const [near, far] = node === 'a' ? (['a1', 'b1'] as const) : (['b1', 'a1'] as const);
  const [from, to, me] = [blue[far].internal, blue[near].internal, red[far].internal];
  const bare = ipv4({ source: from.address, destination: to.address });
  return [
    tagged(all, me, to),
    tagged(all, from, to, { tenant: tags.blue, key: foreign }),
    tagged(all, from, to, { tenant: tags.blue, key: unknown }),
    tagged(all, from, to, { tenant: tags.blue, key: foreign, fragment: MORE_FRAGMENTS }, Buffer.alloc(64)),
    tunnelled(all, me, to),
    tunnelled(all, from, to, { tag: { tenant: tags.blue }, key: foreign }),
    tunnelled(all, from, to, { tag: { tenant: tags.blue }, key: unknown }),
    tunnelled(all, me, to, { inner: { fragment: MORE_FRAGMENTS }, payload: Buffer.alloc(64) }),
    ...[ETHERTYPE.ipv4, ETHERTYPE.ipv6].map((type) =>
      ethernetFrame(stranger.mac, stranger.uplinks[node], type, bare),
    ),
    ethernetFrame(
      stranger.mac,
      stranger.uplinks[node],
      ETHERTYPE.vlan,
      Buffer.concat([Buffer.from('00000800', 'hex'), bare]),
    ),
    ethernetFrame(
      stranger.mac,
      stranger.uplinks[node],
      ETHERTYPE.ipv4,
      ipv4({ source: from.address, destination: blue[near].external.address }),
    ),
    ethernetFrame(
      stranger.mac,
      BROADCAST,
      ETHERTYPE.ipv4,
      ipv4({ source: from.address, destination: to.gateway }),
    ),
  ];
}

function* frames(seeds: readonly Buffer[], seed: number, first = 0): Generator<Buffer> {
  const dice = chance(seed);
  for (let i = 0; i < FRAMES / 2; i++) yield mutated(seeds[dice(seeds.length)]!, dice, first);
}

export const fuzz: Suite = (world) =>
  describe(`fuzz (SLUICE_FUZZ_SEED=${SEED})`, () => {
    it.each<[string, (all: World) => Promise<void>, (all: World) => number]>([
      [
        'X1: frames from red, by both of its interfaces',
        async (all) => {
          await sendPaced(all.red.a1.internal.socket, frames(seedsOfRed(all, 'internal'), SEED));
          await sendPaced(all.red.a1.external.socket, frames(seedsOfRed(all, 'external'), SEED + 1));
        },
        () => 1 / 4,
      ],
      [
        'X2: frames from the wire, to both nodes',
        async (all) => {
          await sendPaced(all.stranger.socket, frames(seedsOfWire(all, 'a'), SEED + 2, ETHERTYPE_AT));
          await sendPaced(all.stranger.socket, frames(seedsOfWire(all, 'b'), SEED + 3, ETHERTYPE_AT));
        },
        ({ variant }) => variant.refusedOfChance,
      ],
    ])('%s', async (name, send, part) => {
      const all = world();
      const least = part(all);
      for (const { socket } of blueNics(all)) socket.take();
      const before = await totalDrops(all);
      await send(all);
      const arrived = await framesBeforeControls(all, blueNics(all));
      const refused = (await totalDrops(all)) - before;
      lineOf(
        world(),
        name.slice(0, 2),
        name.slice(4),
        FRAMES,
        FRAMES - arrived.length,
        `  all reasons +${refused}`,
      );
      expect(arrived).toEqual([]);
      // Chance also makes frames that are allowed or that no one listens to; most it does not.
      expect(refused).toBeGreaterThan(FRAMES * least);
    });
  });
