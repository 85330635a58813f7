/** A14: red floods a node with a million of everything, and blue goes on as if nothing were. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { openNetns } from '../../../linux/netns.ts';
import { askTcp } from '../../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../../model/addresses.ts';
import { processOf } from '../../faults/crashes.ts';
import { PROTOCOL } from '../../frames.ts';
import { lineOf, type Suite } from '../attack.ts';
import { arpFrame, greeting, packet } from '../traffic.ts';
import type { Nic, World } from '../world.ts';

const EACH = 250_000;
/** How often in a flood it is looked whether the others are served. */
const LOOKS = 5;
const FEWER = 50_000;
const BURST = 256;
/** Flows of others, and of the node itself. */
export const SPARE_FLOWS = 300;
const PER_ENDPOINT = 8_192;
const MOST_GROWTH_BYTES = 64 * 2 ** 20;
const PATIENCE_MS = 5_000;
/** Where the headers begin in an Ethernet frame without VLAN tag. */
export const AT = { sourceMac: 6, arpSender: 22, ipSource: 26, ipDestination: 30, udpPorts: 34 } as const;

/** A ping with its checksum (RFC 792); what answers nothing, as an echo reply, is no flow. */
export const ECHO_REQUEST = Buffer.from([8, 0, 0xf7, 0xff, ...Buffer.alloc(14)]);

/** Whether blue's container reaches the internet, in a new connection. */
async function blueIsServed({ lab, blue }: World): Promise<boolean> {
  using netns = openNetns(blue.a1.container.netns);
  const outcome = await askTcp(netns, { address: lab.internet.address, port: 80 }, 'hello\n', PATIENCE_MS);
  return outcome.state === 'answered';
}

/**
 * Sends the frame over and over, changed a little each time.
 * @returns how often blue was looked at, and how often it was served
 */
export async function flood(
  world: World,
  from: Nic,
  frame: Buffer,
  change: (frame: Buffer, random: Buffer, at: number) => void,
  count = EACH,
  isServed = blueIsServed,
): Promise<{ readonly looks: number; readonly served: number }> {
  let looks = 0;
  let served = 0;
  let random = randomBytes(0);
  for (let sent = 0; sent < count; sent++) {
    if (sent % BURST === 0) {
      random = randomBytes(16 * BURST);
      await breathe();
    }
    change(frame, random, 16 * (sent % BURST));
    from.socket.send(frame);
    if ((sent + 1) % (count / LOOKS) !== 0) continue;
    looks += 1;
    if (await isServed(world)) served += 1;
  }
  return { looks, served };
}

export function report(
  world: World,
  name: string,
  tried: number,
  { looks, served }: { looks: number; served: number },
): void {
  lineOf(world, 'A14', name, tried, served === looks ? tried : 0, `  others served ${served}/${looks}`);
  expect(served).toBe(looks);
}

const inNode = ({ lab }: World, ...argv: [string, ...string[]]): Promise<string> => lab.node('a').exec(argv);
export const trackedFlows = async (world: World): Promise<number> =>
  Number(await inNode(world, 'cat', '/proc/sys/net/netfilter/nf_conntrack_count'));
export const linesOf = async (world: World, ...argv: [string, ...string[]]): Promise<number> =>
  (await inNode(world, ...argv)).split('\n').filter(Boolean).length;

/** Packets of containers that would have begun one flow too many. */
export async function refusedFlows(world: World): Promise<number> {
  const listed = JSON.parse(
    await inNode(world, 'nft', '-j', 'list', 'counter', 'ip', 'sluice_a_flows', 'refused_out'),
  ) as { nftables: { counter?: { packets: number } }[] };
  return listed.nftables.find(({ counter }) => counter !== undefined)!.counter!.packets;
}

function residentBytes({ lab }: World, daemon: 'tagqueue' | 'netd'): number {
  const pid = processOf(lab.node('a'), daemon);
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1_024;
}

export const flooding: Suite = (world) =>
  describe('A14: flooding', () => {
    it('A14: a quarter of a million MAC addresses', async () => {
      const { external } = world().red.a1;
      const before = await linesOf(world(), 'bridge', 'fdb', 'show', 'br', 'se-a');
      const frame = packet(external, world().red.a2.external, { protocol: PROTOCOL.udp }, Buffer.alloc(18));
      const result = await flood(world(), external, frame, (bytes, random, at) => {
        random.copy(bytes, AT.sourceMac, at, at + 6);
        bytes[AT.sourceMac] = 0x02;
      });
      expect(await linesOf(world(), 'bridge', 'fdb', 'show', 'br', 'se-a')).toBe(before);
      report(world(), 'spoofed MAC addresses; the bridge learns none', EACH, result);
    });

    it('A14: a quarter of a million claims in ARP', async () => {
      const { external } = world().red.a1;
      const before = await linesOf(world(), 'ip', 'neigh', 'show');
      const result = await flood(world(), external, arpFrame(external, {}), (bytes, random, at) => {
        random.copy(bytes, AT.arpSender + 6, at, at + 4);
      });
      expect(await linesOf(world(), 'ip', 'neigh', 'show')).toBeLessThanOrEqual(before + 4);
      report(world(), 'spoofed ARP; the node believes none', EACH, result);
    });

    it('A14: a quarter of a million sources', async () => {
      const { external, internal } = world().red.a1;
      const before = await trackedFlows(world());
      const outside = { ...internal, node: 'b' as const };
      const frame = packet(external, outside, { protocol: PROTOCOL.udp }, Buffer.alloc(18));
      const result = await flood(world(), external, frame, (bytes, random, at) => {
        random.copy(bytes, AT.ipSource, at, at + 4);
      });
      expect(await trackedFlows(world())).toBeLessThanOrEqual(before + SPARE_FLOWS);
      report(world(), 'spoofed source addresses; none is tracked', EACH, result);
    });

    it('A14: a quarter of a million flows of its own', async () => {
      const { lab, red } = world();
      const refusedBefore = await refusedFlows(world());
      const memory = { tagqueue: residentBytes(world(), 'tagqueue'), netd: residentBytes(world(), 'netd') };
      const away = { ...red.b1.external, address: lab.internet.address };
      const payload = Buffer.from([0, 1, 0, 9, 0, 18, 0, 0, ...Buffer.alloc(10)]);
      const frame = packet(red.a1.external, away, { protocol: PROTOCOL.udp }, payload);
      const result = await flood(world(), red.a1.external, frame, (bytes, random, at) => {
        random.copy(bytes, AT.udpPorts, at, at + 4);
      });
      const tracked = await trackedFlows(world());
      expect(tracked).toBeGreaterThan(PER_ENDPOINT / 2);
      expect(tracked).toBeLessThanOrEqual(PER_ENDPOINT + SPARE_FLOWS);
      const refused = (await refusedFlows(world())) - refusedBefore;
      expect(refused).toBeGreaterThan(EACH / 2);
      for (const daemon of ['tagqueue', 'netd'] as const)
        expect(residentBytes(world(), daemon) - memory[daemon]).toBeLessThan(MOST_GROWTH_BYTES);
      report(world(), `flows; ${tracked} tracked, ${refused} packets refused and counted`, EACH, result);
    });

    it('A14: every address of its block, through the gateway', async () => {
      const { red } = world();
      const before = await linesOf(world(), 'ip', 'neigh', 'show');
      const away = { ...red.b1.external, address: '10.80.0.99' as Ipv4 };
      const frame = packet(red.a1.external, away, { protocol: PROTOCOL.icmp }, ECHO_REQUEST);
      const checksum = frame.readUInt16BE(24);
      let next = 0;
      const result = await flood(
        world(),
        red.a1.external,
        frame,
        (bytes) => {
          const last = 100 + (next++ % 900);
          bytes.writeUInt16BE(last, AT.ipDestination + 2);
          // Ones' complement: what one field gains the checksum loses (RFC 1624).
          const sum = (~checksum & 0xffff) + (~99 & 0xffff) + last;
          bytes.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 24);
        },
        FEWER,
      );
      expect(await linesOf(world(), 'ip', 'neigh', 'show')).toBeLessThanOrEqual(before + 4);
      report(world(), 'neighbours that nobody is; the node asks for none', FEWER, result);
    });
  });

const CROSSING = 50_000;
const HELLO_MS = 100;

/** Whether blue reaches its own on the other node, within the time in which a connection would be tried again. */
async function blueCrosses({ blue }: World): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    const one = greeting(blue.a1.internal, blue.b1.internal);
    one.send();
    const seen = await one.to.socket.next(
      ({ bytes, outgoing }) => !outgoing && bytes.includes(one.marker),
      HELLO_MS,
    );
    if (seen !== undefined) return true;
  }
  return false;
}

/** Between nodes all tenants go the same way: through the uplink, and in one plane through the same queues. */
export const floodedWire: Suite = (world) =>
  describe('A14: flooding the way between nodes', () => {
    it.each([
      ['its own container on the other node', 'red'],
      ["blue's container on the other node", 'blue'],
    ] as const)('A14: packets of many flows to %s', async (whose, tenant) => {
      const all = world();
      const me = all.red.a1.internal;
      const frame = packet(
        me,
        all[tenant].b1.internal,
        {},
        Buffer.from([0, 1, 0, 9, 0, 18, 0, 0, ...Buffer.alloc(10)]),
      );
      const result = await flood(
        all,
        me,
        frame,
        (bytes, random, at) => {
          random.copy(bytes, AT.udpPorts, at, at + 4);
        },
        CROSSING,
        blueCrosses,
      );
      report(all, `between nodes, to ${whose}`, CROSSING, result);
    });
  });
