/** The fast path gives the same verdicts as the long way, and the packets look the same at its end. */
import { writeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { type TestRun, testRun, updateMap } from '../../linux/bpf.ts';
import { internetChecksum } from '../../linux/frames.ts';
import { inNetns } from '../../linux/netns.ts';
import {
  bytesToMac,
  cidrContains,
  type Ipv4,
  type Mac,
  macOfAddress,
  numberToIpv4,
} from '../../model/addresses.ts';
import type { PortBinding, ProgramName } from '../../tagqueue/maps.ts';
import * as maps from '../../tagqueue/maps.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { type Fence, FenceBuilds, loadFence } from '../fence/builds.ts';
import { furnish } from '../fence/furnish.ts';
import { layWire, type Wire } from '../fence/wire.ts';
import {
  arpOf,
  CONF,
  fromOwn,
  GATEWAY,
  GATEWAY_MAC,
  ip,
  MARK,
  NEIGHBOUR,
  OTHER_MARK,
  OTHER_TENANT,
  OWN,
  onWire,
  PEER_BLOCK,
  PORTS,
  REMOTE,
  tag,
  tunnelled,
} from '../fence/world.ts';
import { ETHERTYPE, ipv4, PROTOCOL } from '../frames.ts';

const ACTION = { ok: 0, shot: 2, redirect: 7 } as const;
const PACKETS = 5_000;
const RIVAL = ip('10.64.0.9');
const NOBODY = ip('10.64.0.99');
const ELSEWHERE = ip('10.77.0.1');

let wire: Wire;
let fast: Fence;
let long: Fence;
let doors: Readonly<Record<string, PortBinding>>;
let tried = 0;
let disagreed = 0;

beforeAll(() => {
  wire = layWire('fast');
  const bound = (link: string, address: Ipv4, more: Partial<PortBinding>): PortBinding => ({
    ...PORTS.internal,
    ifindex: wire.addPair(link, `${link}far`).near,
    address,
    mac: macOfAddress(address),
    account: BigInt(address.length) as PortBinding['account'],
    ...more,
  });
  doors = {
    [OWN]: bound('own', OWN, {}),
    [NEIGHBOUR]: bound('neighbour', NEIGHBOUR, {}),
    [RIVAL]: bound('rival', RIVAL, { tag: OTHER_TENANT, mark: OTHER_MARK }),
  };
  using builds = new FenceBuilds();
  const object = builds.build();
  [fast, long] = [openWorld(object, true), openWorld(object, false)];
});
afterAll(() => {
  fast?.[Symbol.dispose]();
  long?.[Symbol.dispose]();
  wire?.[Symbol.dispose]();
  writeSync(1, `    fast path and long way: ${tried} packets tried, ${disagreed} disagreements\n`);
});

function openWorld(object: string, fastPath: boolean): Fence {
  const fence = loadFence(object);
  furnish(fence, wire.near, { port: 'unbound' });
  const conf = { ...CONF, fastPath, uplink: wire.near };
  updateMap(fence.map('settings'), maps.indexKey(0), maps.encodeConf(conf));
  for (const door of Object.values(doors)) {
    const value = maps.encodePort(door);
    updateMap(fence.map('ports_by_index'), maps.indexKey(door.ifindex), value);
    updateMap(fence.map('ports_by_ip'), maps.addressKey(door.address), value);
  }
  return fence;
}

/** What became of a packet: how it reached whom, or why it did not. */
type Fate = { readonly refused: DropReason | undefined } | { readonly left: string };

interface Ran {
  readonly run: TestRun;
  readonly refused: DropReason | undefined;
}

function show(fence: Fence, program: ProgramName, packet: Buffer, ifindex: number, mark = 0): Ran {
  const before = fence.drops();
  const run = inNetns(wire.netns, () => testRun(fence.program(program), packet, { ifindex, mark }));
  const moved = Object.entries(fence.drops()).find(
    ([reason, count]) => count !== (before[reason as DropReason] ?? 0),
  );
  return { run, refused: moved?.[0] as DropReason | undefined };
}

const doorOf = (mac: Mac): PortBinding | undefined => Object.values(doors).find((door) => door.mac === mac);
const destinationOf = (packet: Buffer): Ipv4 => numberToIpv4(packet.readUInt32BE(30));

/** The port of a container asks last, wherever a packet comes from. */
function received(door: PortBinding, { packet, mark }: TestRun): Fate {
  const { run, refused } = show(long, 'port_out', packet, door.ifindex, mark);
  return run.action === ACTION.ok ? { left: `to ${door.address}` } : { refused };
}

/** As bridge and routing would have it, for frames to a container or to the gateway. */
function byTheLongWay(run: TestRun): Fate {
  const mac = bytesToMac(run.packet);
  const door = doorOf(mac);
  if (door !== undefined) return received(door, run);
  const to = destinationOf(run.packet);
  if (mac !== GATEWAY_MAC) return { left: 'nowhere' };
  return doors[to] === undefined
    ? { left: cidrContains(PEER_BLOCK, to) ? 'to the wire' : 'nowhere' }
    : { left: 'back' };
}

function fateOf(fence: Fence, packet: Buffer): Fate {
  const own = doors[OWN]!;
  const { run, refused } = show(fence, 'port_in', packet, own.ifindex);
  if (run.action === ACTION.shot) return { refused };
  if (run.action === ACTION.ok) return byTheLongWay(run);
  const door = doorOf(bytesToMac(run.packet));
  return { left: door === undefined ? 'to the wire' : `to ${door.address}` };
}

function fateFromWire(fence: Fence, packet: Buffer): Fate {
  const { run, refused } = show(fence, 'uplink_in', packet, wire.near);
  if (run.action === ACTION.shot) return { refused };
  const door = doors[destinationOf(run.packet)];
  if (run.action === ACTION.redirect) return { left: `to ${door?.address}` };
  return door === undefined ? { left: 'nowhere' } : received(door, run);
}

function agree(one: Fate, other: Fate): void {
  tried += 1;
  if (!isDeepStrictEqual(one, other)) disagreed += 1;
  expect(one).toEqual(other);
}

const mutations = fc.array(fc.tuple(fc.nat({ max: 60 }), fc.nat({ max: 255 })), { maxLength: 2 });
const fields = fc.record({
  protocol: fc.constantFrom(PROTOCOL.udp, PROTOCOL.tcp, PROTOCOL.icmp, 103),
  fragment: fc.constantFrom(0, 0, 0, 0x4000, 0x2000, 185),
  payload: fc.uint8Array({ minLength: 16, maxLength: 200 }),
  timeToLive: fc.constantFrom(64, 64, 2, 1, 0),
});

function altered(frame: Buffer, timeToLive: number, changes: readonly (readonly [number, number])[]): Buffer {
  const copy = Buffer.from(frame);
  copy[22] = timeToLive;
  copy.writeUInt16BE(0, 24);
  copy.writeUInt16BE(internetChecksum(copy.subarray(14, 14 + (copy[14]! & 15) * 4)), 24);
  for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
  return copy;
}

describe('the fast path', () => {
  it('agrees with the long way about everything a container can send', () => {
    const destination = fc.constantFrom(NEIGHBOUR, NEIGHBOUR, RIVAL, REMOTE, NOBODY, ELSEWHERE, GATEWAY, OWN);
    const mac = fc.constantFrom(macOfAddress(NEIGHBOUR), macOfAddress(RIVAL), GATEWAY_MAC);
    fc.assert(
      fc.property(fields, destination, mac, mutations, (chosen, to, hop, changes) => {
        const plain = ipv4({ ...chosen, source: OWN, destination: to }, chosen.payload);
        const packet = altered(fromOwn(ETHERTYPE.ipv4, plain, hop), chosen.timeToLive, changes);
        agree(fateOf(fast, packet), fateOf(long, packet));
      }),
      { numRuns: PACKETS },
    );
  });

  it('agrees with the long way about everything that comes from the wire', () => {
    const destination = fc.constantFrom(OWN, NEIGHBOUR, RIVAL, NOBODY, ELSEWHERE);
    fc.assert(
      fc.property(fields, destination, mutations, (chosen, to, changes) => {
        const flow = { source: REMOTE, destination: to, protocol: chosen.protocol };
        const tagged = onWire({ ...chosen, ...flow, options: tag(flow) }, chosen.payload);
        const packet = altered(tagged, chosen.timeToLive, changes);
        agree(fateFromWire(fast, packet), fateFromWire(long, packet));
      }),
      { numRuns: PACKETS },
    );
  });

  it('agrees with the long way about everything that comes through the tunnel', () => {
    const destination = fc.constantFrom(OWN, NEIGHBOUR, RIVAL, NOBODY, ELSEWHERE);
    const spoilt = fc.array(fc.tuple(fc.nat({ max: 110 }), fc.nat({ max: 255 })), { maxLength: 1 });
    fc.assert(
      fc.property(fields, destination, spoilt, (chosen, to, changes) => {
        const plain = onWire({ ...chosen, source: REMOTE, destination: to }, chosen.payload);
        const packet = tunnelled(altered(plain, chosen.timeToLive, []));
        for (const [at, value] of changes) if (at < packet.length) packet[at] = value;
        agree(fateFromWire(fast, packet), fateFromWire(long, packet));
      }),
      { numRuns: PACKETS },
    );
  });

  it('brings a packet to its neighbour as it is, without a mark', () => {
    const packet = fromOwn(
      ETHERTYPE.ipv4,
      ipv4({ source: OWN, destination: NEIGHBOUR }),
      macOfAddress(NEIGHBOUR),
    );
    const { run } = show(fast, 'port_in', packet, doors[OWN]!.ifindex);
    expect(run).toMatchObject({ action: ACTION.redirect, packet, mark: 0 });
  });

  it('sends a packet to another node with its mark on and one hop less to live', () => {
    const packet = fromOwn(ETHERTYPE.ipv4, ipv4({ source: OWN, destination: REMOTE }), GATEWAY_MAC);
    const { run } = show(fast, 'port_in', packet, doors[OWN]!.ifindex);
    expect(run).toMatchObject({ action: ACTION.redirect, mark: MARK });
    expect(run.packet.equals(altered(packet, 63, []))).toBe(true);
  });

  it('brings a packet from the wire to its container, from the gateway and one hop older', () => {
    const packet = onWire({
      source: REMOTE,
      destination: NEIGHBOUR,
      options: tag({ destination: NEIGHBOUR }),
    });
    const { run } = show(fast, 'uplink_in', packet, wire.near);
    expect(run).toMatchObject({ action: ACTION.redirect, mark: 0 });
    const plain = altered(onWire({ source: REMOTE, destination: NEIGHBOUR }), 63, []);
    expect(bytesToMac(run.packet)).toBe(macOfAddress(NEIGHBOUR));
    expect(bytesToMac(run.packet.subarray(6))).toBe(GATEWAY_MAC);
    expect(run.packet.subarray(12).equals(plain.subarray(12))).toBe(true);
  });

  it('leads past nothing when a port has a rate: what it receives and what it sends goes to the shaper', () => {
    const limited = { ...doors[NEIGHBOUR]!, inClass: 9 };
    updateMap(fast.map('ports_by_ip'), maps.addressKey(NEIGHBOUR), maps.encodePort(limited));
    const packet = fromOwn(
      ETHERTYPE.ipv4,
      ipv4({ source: OWN, destination: NEIGHBOUR }),
      macOfAddress(NEIGHBOUR),
    );
    const { run } = show(fast, 'port_in', packet, doors[OWN]!.ifindex);
    expect(run).toMatchObject({ action: ACTION.redirect, packet, priority: 0x1_0009 });
    updateMap(fast.map('ports_by_ip'), maps.addressKey(NEIGHBOUR), maps.encodePort(doors[NEIGHBOUR]!));

    const own = doors[OWN]!;
    const slow = maps.encodePort({ ...own, outClass: 7 });
    updateMap(fast.map('ports_by_index'), maps.indexKey(own.ifindex), slow);
    const sent = show(fast, 'port_in', packet, own.ifindex).run;
    expect(sent).toMatchObject({ action: ACTION.redirect, packet, mark: MARK, priority: 0x1_0007 });
    const question = show(fast, 'port_in', arpOf({}), own.ifindex).run;
    expect(question).toMatchObject({ action: ACTION.ok, priority: 0 });
    updateMap(fast.map('ports_by_index'), maps.indexKey(own.ifindex), maps.encodePort(own));
  });

  it.each(['shaped_out', 'shaped_in'] as const)(
    'lets nothing out of %s that no port of ours has sent in',
    (program) => {
      const packet = fromOwn(ETHERTYPE.ipv4, ipv4({ source: OWN, destination: NEIGHBOUR }));
      expect(show(fast, program, packet, wire.near).run.action).toBe(ACTION.shot);
    },
  );
});
