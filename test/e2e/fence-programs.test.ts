/** The eBPF programs, packet by packet, in the kernel (BPF_PROG_TEST_RUN): what they refuse, let through and rewrite. */

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { deleteFromMap, type TestRun, testRun, updateMap } from '../../linux/bpf.ts';
import { ethernetFrame, internetChecksum } from '../../linux/frames.ts';
import { openRing } from '../../linux/ring.ts';
import { type Cidr, type Ipv4, numberToIpv4 } from '../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import { decodeDrop } from '../../tagqueue/drop-record.ts';
import * as maps from '../../tagqueue/maps.ts';
import { type DropReason, PROGRAM_REASONS } from '../../tagqueue/reasons.ts';
import { encodeTag } from '../../tagqueue/wire.ts';
import { enterTunnel } from '../../tagqueue/wire-vxlan.ts';
import { ALLOWED } from '../fence/allowed.ts';
import { type Fence, FenceBuilds, loadFence } from '../fence/builds.ts';
import { furnish } from '../fence/furnish.ts';
import { ALLOWED_IPV6, REFUSED_IPV6 } from '../fence/ipv6-cases.ts';
import { REFUSED_AT_PORTS } from '../fence/refused-at-ports.ts';
import { REFUSED_AT_UPLINKS } from '../fence/refused-at-uplinks.ts';
import {
  type Case,
  CONF,
  MARK,
  PEER,
  PEER_BLOCK,
  PORTS,
  type RefusedCase,
  SECRET,
  TENANT,
} from '../fence/world.ts';
import { ETHERTYPE, ipv4 } from '../frames.ts';

const TC_ACT_OK = 0;
const TC_ACT_SHOT = 2;
/** The programs see the packets on the loopback interface of whatever namespace this runs in. */
const IFINDEX = 1;

const builds = new FenceBuilds();
let fence: Fence;

beforeAll(async () => {
  await builds.ahead([undefined, ...PROGRAM_REASONS]);
  fence = loadFence(builds.build());
}, 150_000);
afterAll(() => {
  fence[Symbol.dispose]();
  builds[Symbol.dispose]();
});

function show(fence: Fence, shown: Case): TestRun {
  furnish(fence, IFINDEX, shown);
  return testRun(fence.program(shown.program), shown.packet, { mark: shown.mark ?? 0, ifindex: IFINDEX });
}

/** Which counters moved while `run` was under way. */
function countedDuring(run: () => void): Partial<Record<DropReason, number>> {
  const before = fence.drops();
  run();
  const moved = Object.entries(fence.drops()).map(([reason, drops]) => [
    reason,
    drops - (before[reason as DropReason] ?? 0),
  ]);
  return Object.fromEntries(moved.filter(([, drops]) => drops !== 0));
}

const cases = (reason: DropReason): readonly RefusedCase[] => [
  ...(REFUSED_AT_PORTS[reason] ?? []),
  ...(REFUSED_AT_UPLINKS[reason] ?? []),
  ...(REFUSED_IPV6[reason] ?? []),
];

describe('the maps', () => {
  it.each(maps.MAP_NAMES)('%s has the sizes that userland writes', (name) => {
    const { keyBytes, valueBytes } = fence.map(name);
    expect({ key: keyBytes, value: valueBytes }).toEqual(maps.MAP_SIZES[name]);
  });
});

describe.each(PROGRAM_REASONS)('%s', (reason) => {
  it.each(cases(reason))('refuses $program: $name', (refused) => {
    let after: TestRun | undefined;
    expect(
      countedDuring(() => {
        after = show(fence, refused);
      }),
    ).toEqual({ [reason]: 1 });
    expect(after!.action).toBe(TC_ACT_SHOT);
  });

  it('is needed: without its checks the same packets pass', () => {
    const mutant = loadFence(builds.build(reason));
    try {
      const opened = cases(reason).filter(({ onlyReason }) => onlyReason !== false);
      expect(opened.length).toBeGreaterThan(0);
      for (const { name, ...shown } of opened) {
        expect({ name, action: show(mutant, { name, ...shown }).action }).toEqual({
          name,
          action: TC_ACT_OK,
        });
      }
    } finally {
      mutant[Symbol.dispose]();
    }
  });
});

describe('what is allowed', () => {
  it.each([...ALLOWED, ...ALLOWED_IPV6])('passes $program: $name', (allowed) => {
    let after: TestRun | undefined;
    expect(
      countedDuring(() => {
        after = show(fence, allowed);
      }),
    ).toEqual({});
    expect(after).toMatchObject({ action: TC_ACT_OK, mark: allowed.markAfter });
    expect(after!.packet.toString('hex')).toBe((allowed.packetAfter ?? allowed.packet).toString('hex'));
  });
});

describe('the drop log', () => {
  it('tells what was refused, where and why', () => {
    const ring = openRing(fence.map('drop_log'));
    try {
      ring.consume();
      const [refused] = cases('source_ip');
      show(fence, refused!);
      const records = ring.consume().map(decodeDrop);
      expect(records).toEqual([
        {
          monotonicNs: expect.any(BigInt),
          ifindex: IFINDEX,
          tag: TENANT,
          reason: 'source_ip',
          hook: 'port_in',
          length: refused!.packet.length,
          header: {
            sourceMac: '02:5c:0a:40:00:07',
            destinationMac: '02:5c:0a:40:00:08',
            etherType: ETHERTYPE.ipv4,
            source: '10.64.0.8',
            destination: '10.64.0.8',
            protocol: 17,
            sourcePort: 1000,
            destinationPort: 2000,
          },
        },
      ]);
      const age = process.hrtime.bigint() - records[0]!.monotonicNs;
      expect(age).toBeGreaterThan(0n);
      expect(age).toBeLessThan(10_000_000_000n);
    } finally {
      ring[Symbol.dispose]();
    }
  });

  it('never holds up a packet: when nobody reads, it is only counted', () => {
    const [refused] = cases('source_mac');
    furnish(fence, IFINDEX, refused!);
    const flood = { ifindex: IFINDEX, repeat: 20_000 };
    expect(countedDuring(() => testRun(fence.program('port_in'), refused!.packet, flood))).toEqual({
      source_mac: 20_000,
    });
  });
});

interface Vectors {
  tunnels: {
    name: string;
    key: string;
    epoch: number;
    source: string;
    destination: string;
    tenant: number;
    node: string;
    peer: string;
    plain: string;
    tunnelled: string;
  }[];
  believed: {
    name: string;
    key: string;
    epoch: number;
    source: string;
    tenant: number;
    plain: string;
    tagged: string;
  }[];
}
const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../tagqueue/wire.vectors.json', import.meta.url), 'utf8'),
);
const framed = (hex: string): Buffer =>
  ethernetFrame(PORTS.internal.mac, PORTS.internal.gatewayMac, ETHERTYPE.ipv4, Buffer.from(hex, 'hex'));

/** Sets the uplink programs up as on the node with this block, for one tenant; all others are on another node. */
function become(
  ownBlock: Cidr,
  epoch: KeyEpoch,
  secret: Uint8Array,
  tenant: number = TENANT,
  tunnel: { uplinkAddress: Ipv4; node: Ipv4 } | undefined = undefined,
): void {
  const carrier = tunnel === undefined ? 'option' : 'vxlan';
  const peer = { ...PEER, node: tunnel?.node ?? PEER.node };
  const conf = { ...CONF, carrier, uplinkAddress: tunnel?.uplinkAddress ?? CONF.uplinkAddress } as const;
  deleteFromMap(fence.map('routes'), maps.blockKey(PEER_BLOCK));
  updateMap(fence.map('routes'), maps.blockKey(CONF.internalPool), maps.encodeRoute(peer));
  updateMap(fence.map('tenants'), maps.indexKey(1), maps.indexKey(tenant));
  updateMap(fence.map('marks'), maps.indexKey(tenant), maps.indexKey(MARK));
  updateMap(fence.map('settings'), maps.indexKey(0), maps.encodeConf({ ...conf, ownBlock, epoch }));
  updateMap(fence.map('keys'), maps.indexKey(epoch), maps.encodeKey(secret));
}

const blockOf = (address: Ipv4): Cidr => `${address}/32` as Cidr;
const ELSEWHERE = '10.78.0.0/22' as Cidr;

describe('the tag', () => {
  it.each(vectors.believed)('is put on and taken off as published: $name', (vector) => {
    const epoch = vector.epoch as KeyEpoch;
    become(blockOf(vector.source as Ipv4), epoch, Buffer.from(vector.key, 'hex'), vector.tenant);
    const sent = testRun(fence.program('uplink_out'), framed(vector.plain), { mark: MARK });
    expect(sent).toMatchObject({ action: TC_ACT_OK, mark: 0, packet: framed(vector.tagged) });

    become(ELSEWHERE, epoch, Buffer.from(vector.key, 'hex'), vector.tenant);
    const received = testRun(fence.program('uplink_in'), framed(vector.tagged));
    expect(received).toMatchObject({ action: TC_ACT_OK, mark: MARK, packet: framed(vector.plain) });
  });

  it('brings every packet and its tenant to the other node as they were', () => {
    const inPool = fc.integer({ min: 0x0a40_0000, max: 0x0a4d_ffff }).map(numberToIpv4);
    const packet = fc.record({
      source: inPool,
      destination: inPool,
      protocol: fc.integer({ min: 0, max: 255 }),
      fragment: fc.integer({ min: 0, max: 0x7fff }),
      payload: fc.uint8Array({ maxLength: 1400 }),
    });
    const tenants = fc.integer({ min: 1, max: 0xff_ff_ff }).map((tag) => tag as TenantTag);
    const epochs = fc.integer({ min: 0, max: 255 }).map((epoch) => epoch as KeyEpoch);
    fc.assert(
      fc.property(packet, tenants, epochs, ({ payload, ...fields }, tenant, epoch) => {
        fc.pre(fields.source !== fields.destination);
        const plain = ethernetFrame(
          PORTS.internal.mac,
          PORTS.internal.gatewayMac,
          ETHERTYPE.ipv4,
          ipv4(fields, payload),
        );
        become(blockOf(fields.source), epoch, SECRET, tenant);
        const sent = testRun(fence.program('uplink_out'), plain, { mark: MARK });
        expect(sent.packet.subarray(34, 50)).toEqual(encodeTag(fields, tenant, { epoch, secret: SECRET }));
        expect(internetChecksum(sent.packet.subarray(14, 50))).toBe(0);

        become(blockOf(fields.destination), epoch, SECRET, tenant);
        const received = testRun(fence.program('uplink_in'), sent.packet);
        expect(received).toMatchObject({ action: TC_ACT_OK, mark: MARK });
        expect(received.packet.equals(plain)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('leaves a damaged header recognisably damaged', () => {
    const good = ipv4({ source: PORTS.internal.address, destination: '10.64.4.9' as Ipv4 });
    good[8]! ^= 0x10;
    become(CONF.ownBlock, CONF.epoch, SECRET);
    const sent = testRun(fence.program('uplink_out'), framed(good.toString('hex')), { mark: MARK });
    expect(internetChecksum(sent.packet.subarray(14, 50))).not.toBe(0);
    become(ELSEWHERE, CONF.epoch, SECRET);
    expect(testRun(fence.program('uplink_in'), sent.packet).packet.subarray(14)).toEqual(good);
  });
});

/** A packet of the tunnel with the source port of another, which follows the kernel's own hash of the flow. */
function withSourcePortOf(frame: Buffer, other: Buffer): Buffer {
  const copy = Buffer.from(frame);
  other.copy(copy, 34, 34, 36);
  return copy;
}

describe('the tunnel', () => {
  it.each(vectors.tunnels)('is entered and left as published: $name', (vector) => {
    const epoch = vector.epoch as KeyEpoch;
    const secret = Buffer.from(vector.key, 'hex');
    const [node, peer] = [vector.node as Ipv4, vector.peer as Ipv4];
    become(blockOf(vector.source as Ipv4), epoch, secret, vector.tenant, { uplinkAddress: node, node: peer });
    const sent = testRun(fence.program('uplink_out'), framed(vector.plain), { mark: MARK });
    const published = framed(vector.tunnelled);
    expect(sent).toMatchObject({ action: TC_ACT_OK, mark: 0 });
    expect(sent.packet.readUInt16BE(34)).toBeGreaterThanOrEqual(49_152);
    expect(withSourcePortOf(sent.packet, published).toString('hex')).toBe(published.toString('hex'));

    become(blockOf(vector.destination as Ipv4), epoch, secret, vector.tenant, {
      ...{ uplinkAddress: peer, node },
    });
    const received = testRun(fence.program('uplink_in'), published);
    expect(received).toMatchObject({ action: TC_ACT_OK, mark: MARK, packet: framed(vector.plain) });
  });

  it('brings every packet and its tenant to the other node as they were', () => {
    const inPool = fc.integer({ min: 0x0a40_0000, max: 0x0a4d_ffff }).map(numberToIpv4);
    const packet = fc.record({
      source: inPool,
      destination: inPool,
      protocol: fc.integer({ min: 0, max: 255 }),
      fragment: fc.integer({ min: 0, max: 0x7fff }),
      tos: fc.integer({ min: 0, max: 255 }),
      payload: fc.uint8Array({ maxLength: 1400 }),
    });
    const tenants = fc.integer({ min: 1, max: 0xff_ff_ff }).map((tag) => tag as TenantTag);
    const epochs = fc.integer({ min: 0, max: 255 }).map((epoch) => epoch as KeyEpoch);
    const [here, there] = ['192.0.2.1' as Ipv4, '192.0.2.2' as Ipv4];
    fc.assert(
      fc.property(packet, tenants, epochs, ({ payload, ...fields }, tenant, epoch) => {
        fc.pre(fields.source !== fields.destination);
        const plain = framed(ipv4(fields, payload).toString('hex'));
        become(blockOf(fields.source), epoch, SECRET, tenant, { uplinkAddress: here, node: there });
        const sent = testRun(fence.program('uplink_out'), plain, { mark: MARK });
        const ends = {
          source: here,
          destination: there,
          sourcePort: sent.packet.readUInt16BE(34),
          port: 4789,
        };
        const packet = enterTunnel(plain.subarray(14), ends, tenant, { epoch, secret: SECRET });
        expect(sent.packet.subarray(14).equals(packet)).toBe(true);

        become(blockOf(fields.destination), epoch, SECRET, tenant, { uplinkAddress: there, node: here });
        const received = testRun(fence.program('uplink_in'), sent.packet);
        expect(received).toMatchObject({ action: TC_ACT_OK, mark: MARK });
        expect(received.packet.equals(plain)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
