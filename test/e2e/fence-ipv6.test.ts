/** IPv6 in both carriers, packet by packet, in the kernel: as published, and back as it was. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { type TestRun, testRun, updateMap } from '../../linux/bpf.ts';
import { ethernetFrame } from '../../linux/frames.ts';
import { type Cidr, type Ipv4, numberToIpv4, pool6ToBytes } from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import * as maps from '../../tagqueue/maps.ts';
import { enterTunnel6, tagPacket6 } from '../../tagqueue/wire6.ts';
import { type Fence, FenceBuilds, loadFence } from '../fence/builds.ts';
import { CONF, MARK, POOL6, PORTS, SECRET, six } from '../fence/world.ts';
import { ETHERTYPE, ipv6Between } from '../frames.ts';

const TC_ACT_OK = 0;
const SOURCE_PORT_AT = 34;
const [HERE, THERE] = ['192.0.2.1' as Ipv4, '192.0.2.2' as Ipv4];

interface Vector {
  name: string;
  key: string;
  epoch: number;
  source: string;
  destination: string;
  tenant: number;
  plain: string;
  tagged: string;
  tunnelled: string;
}
const vectors: Vector[] = JSON.parse(
  readFileSync(new URL('../../tagqueue/wire.vectors.json', import.meta.url), 'utf8'),
).ipv6.believed;

let fence: Fence;

beforeAll(() => {
  using builds = new FenceBuilds();
  fence = loadFence(builds.build());
});
afterAll(() => fence?.[Symbol.dispose]());

interface Passage {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  readonly tenant: number;
  readonly epoch: KeyEpoch;
  readonly secret: Uint8Array;
  readonly carrier: Carrier;
}

/** Sets the uplink programs up as on the sender's or the receiver's node; all other addresses are on the other one. */
function become(side: 'sender' | 'receiver', { source, destination, tenant, ...passage }: Passage): void {
  const [address, uplinkAddress, node] =
    side === 'sender' ? ([source, HERE, THERE] as const) : ([destination, THERE, HERE] as const);
  const { epoch, carrier, secret } = passage;
  const conf = { ...CONF, ownBlock: `${address}/32` as Cidr, pool6: pool6ToBytes(POOL6), epoch, carrier };
  updateMap(fence.map('settings'), maps.indexKey(0), maps.encodeConf({ ...conf, uplinkAddress }));
  updateMap(fence.map('routes'), maps.blockKey(CONF.internalPool), maps.encodeRoute({ node, nextHop: node }));
  updateMap(fence.map('tenants'), maps.indexKey(1), maps.indexKey(tenant));
  updateMap(fence.map('marks'), maps.indexKey(tenant), maps.indexKey(MARK));
  updateMap(fence.map('keys'), maps.indexKey(epoch), maps.encodeKey(secret));
}

const framed = (type: number, packet: Buffer): Buffer =>
  ethernetFrame(PORTS.internal.mac, PORTS.internal.gatewayMac, type, packet);

function send(passage: Passage, plain: Buffer): TestRun {
  become('sender', passage);
  return testRun(fence.program('uplink_out'), framed(ETHERTYPE.ipv6, plain), { mark: MARK });
}

function receive(passage: Passage, frame: Buffer): TestRun {
  become('receiver', passage);
  return testRun(fence.program('uplink_in'), frame);
}

/** The kernel's own hash of the flow makes the source port. */
function expected(passage: Passage, plain: Buffer, sent: Buffer): Buffer {
  const { tenant, epoch, secret, carrier } = passage;
  const key = { epoch, secret };
  if (carrier === 'option') return framed(ETHERTYPE.ipv6, tagPacket6(plain, tenant as TenantTag, key));
  const ends = {
    source: HERE,
    destination: THERE,
    sourcePort: sent.readUInt16BE(SOURCE_PORT_AT),
    port: 4789,
  };
  return framed(ETHERTYPE.ipv4, enterTunnel6(plain, ends, tenant as TenantTag, key));
}

describe.each(['option', 'vxlan'] as const)('IPv6 with the carrier %s', (carrier) => {
  it.each(vectors)('is as published: $name', (vector) => {
    const passage = {
      source: vector.source as Ipv4,
      destination: vector.destination as Ipv4,
      ...{ tenant: vector.tenant, epoch: vector.epoch as KeyEpoch, carrier },
      secret: Buffer.from(vector.key, 'hex'),
    };
    const plain = Buffer.from(vector.plain, 'hex');
    const sent = send(passage, plain);
    expect(sent).toMatchObject({ action: TC_ACT_OK, mark: 0 });
    const published =
      carrier === 'option'
        ? framed(ETHERTYPE.ipv6, Buffer.from(vector.tagged, 'hex'))
        : framed(ETHERTYPE.ipv4, Buffer.from(vector.tunnelled, 'hex'));
    const same = Buffer.from(sent.packet);
    if (carrier === 'vxlan') published.copy(same, SOURCE_PORT_AT, SOURCE_PORT_AT, SOURCE_PORT_AT + 2);
    expect(same.toString('hex')).toBe(published.toString('hex'));
    expect(receive(passage, published)).toMatchObject({
      action: TC_ACT_OK,
      mark: MARK,
      packet: framed(ETHERTYPE.ipv6, plain),
    });
  });

  it('brings every packet and its tenant to the other node as they were', () => {
    const inPool = fc.integer({ min: 0x0a40_0000, max: 0x0a4d_ffff }).map(numberToIpv4);
    const packet = fc.record({
      source: inPool,
      destination: inPool,
      nextHeader: fc.integer({ min: 0, max: 255 }),
      trafficClass: fc.integer({ min: 0, max: 255 }),
      payload: fc.uint8Array({ maxLength: 1400 }),
      tenant: fc.integer({ min: 1, max: 0xff_ff_ff }),
      epoch: fc.integer({ min: 0, max: 255 }).map((epoch) => epoch as KeyEpoch),
    });
    fc.assert(
      fc.property(packet, ({ nextHeader, trafficClass, payload, ...flow }) => {
        fc.pre(flow.source !== flow.destination);
        const passage = { ...flow, secret: SECRET, carrier };
        const plain = ipv6Between(
          six(flow.source),
          six(flow.destination),
          nextHeader,
          Buffer.from(payload),
          trafficClass,
        );
        const sent = send(passage, plain);
        expect(sent).toMatchObject({ action: TC_ACT_OK, mark: 0 });
        expect(sent.packet.equals(expected(passage, plain, sent.packet))).toBe(true);
        const received = receive(passage, sent.packet);
        expect(received).toMatchObject({ action: TC_ACT_OK, mark: MARK });
        expect(received.packet.equals(framed(ETHERTYPE.ipv6, plain))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the tunnel with IPv6', () => {
  it('tells the receiver about congestion on the way', () => {
    const passage = {
      ...{ source: '10.64.0.7' as Ipv4, destination: '10.64.4.9' as Ipv4, tenant: 1, epoch: 0 as KeyEpoch },
      ...{ secret: SECRET, carrier: 'vxlan' as const },
    };
    const plain = (trafficClass: number): Buffer =>
      ipv6Between(six(passage.source), six(passage.destination), undefined, undefined, trafficClass);
    const congested = plain(0b11);
    const frame = framed(
      ETHERTYPE.ipv4,
      enterTunnel6(
        plain(0b10),
        { source: HERE, destination: THERE, sourcePort: 50_000, port: 4789 },
        1 as TenantTag,
        { epoch: passage.epoch, secret: SECRET },
      ),
    );
    // ECN 10 becomes 11, and the checksum less by one.
    frame[15]! |= 0b11;
    frame.writeUInt16BE(frame.readUInt16BE(24) - 1, 24);
    expect(receive(passage, frame).packet.toString('hex')).toBe(
      framed(ETHERTYPE.ipv6, congested).toString('hex'),
    );
  });
});
