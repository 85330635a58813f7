import type { Ipv4, Mac } from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import { FORBIDDEN_KINDS, type ProbeKind, STRANGER_TAG } from '../../model/fence-probe.ts';
import { type KeyEpoch, PROBE_TAG } from '../../model/names.ts';
import { verifyTag } from '../wire.ts';
import { leaveTunnel } from '../wire-vxlan.ts';
import { craftProbe, type ProbeKeys } from './craft.ts';

const epoch = (number: number): KeyEpoch => number as KeyEpoch;
const secret = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
const old = Buffer.from('ff0102030405060708090a0b0c0d0e0f', 'hex');
const keys: ProbeKeys = {
  current: { epoch: epoch(7), secret },
  expired: { epoch: epoch(6), secret: old },
  known: new Set([epoch(6), epoch(7)]),
};
const path = {
  ...{ source: '10.64.0.1' as Ipv4, destination: '10.64.4.1' as Ipv4 },
  ...{ sourceMac: '02:00:00:00:00:01' as Mac, nextHopMac: '02:00:00:00:00:02' as Mac },
  hosts: { source: '192.0.2.1' as Ipv4, destination: '192.0.2.2' as Ipv4 },
  vxlanPort: 4_789,
};
const flow = { source: path.source, destination: path.destination, protocol: 17 };
const make = (kind: ProbeKind, with_ = keys, carrier: Carrier = 'option'): Buffer | undefined =>
  craftProbe(kind, carrier, path, with_, Buffer.from('hello'));
const believed = new Map([[epoch(7), secret]]);

/** What a node makes of it: the tenant, or why it is refused. */
const verdicts: Readonly<Record<Carrier, (packet: Buffer) => unknown>> = {
  option: (packet) => {
    const tag = verifyTag(flow, packet.subarray(20, (packet.readUInt8(0) & 15) * 4), believed);
    return typeof tag === 'string' ? tag : tag.tenant;
  },
  vxlan: (packet) => {
    const receiver = { port: 4_789, keys: believed, nodeOf: () => path.hosts.source, isOwn: () => true };
    const left = leaveTunnel(packet, receiver);
    return typeof left === 'string' ? left : left.tenant;
  },
};

describe.each(['option', 'vxlan'] as const)('a probe crafted for the carrier %s', (carrier) => {
  it.each<[ProbeKind, unknown]>([
    ['valid', PROBE_TAG],
    ['wrong-tenant', STRANGER_TAG],
    ['forged', 'tag_forged'],
    ['expired', 'tag_epoch'],
    ['unknown-epoch', 'tag_epoch'],
  ])('of kind %s is what it says', (kind, verdict) => {
    for (let i = 0; i < 20; i++)
      expect(verdicts[carrier](make(kind, keys, carrier)!.subarray(14))).toBe(verdict);
  });

  it('of kind untagged has no tag', () => {
    expect(make('untagged', keys, carrier)!.readUInt8(14)).toBe(0x45);
    expect(make('untagged', keys, carrier)!.subarray(26, 34)).toEqual(make('untagged')!.subarray(26, 34));
  });
});

describe('a crafted probe', () => {
  it('never has an epoch in use when its epoch is to be unknown', () => {
    const all = Array.from({ length: 255 }, (_, number) => epoch(number));
    const frame = make('unknown-epoch', { ...keys, known: new Set(all) })!;
    expect(frame[14 + 20 + 3]).toBe(255);
  });

  it('is not made without an expired key, all others are', () => {
    const without = { ...keys, expired: undefined };
    expect(FORBIDDEN_KINDS.filter((kind) => make(kind, without) === undefined)).toEqual(['expired']);
  });
});
