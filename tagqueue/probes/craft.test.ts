import type { Ipv4, Mac } from '../../model/addresses.ts';
import { FORBIDDEN_KINDS, type ProbeKind } from '../../model/fence-probe.ts';
import { type KeyEpoch, PROBE_TAG } from '../../model/names.ts';
import { verifyTag } from '../wire.ts';
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
};
const flow = { source: path.source, destination: path.destination, protocol: 17 };
const make = (kind: ProbeKind, with_ = keys): Buffer | undefined =>
  craftProbe(kind, 'option', path, with_, Buffer.from('hello'));
const verdict = (kind: ProbeKind): unknown => {
  const packet = make(kind)!.subarray(14);
  const options = packet.subarray(20, (packet.readUInt8(0) & 15) * 4);
  return verifyTag(flow, options, new Map([[epoch(7), secret]]));
};

describe('a crafted probe', () => {
  it('is believed when it is valid', () => {
    expect(verdict('valid')).toMatchObject({ tenant: PROBE_TAG });
  });

  it.each<[ProbeKind, unknown]>([
    ['wrong-tenant', { tenant: PROBE_TAG - 1 }],
    ['forged', 'tag_forged'],
    ['expired', 'tag_epoch'],
    ['unknown-epoch', 'tag_epoch'],
    ['untagged', 'tag_malformed'],
  ])('of kind %s is wrong in one way', (kind, fault) => {
    if (typeof fault === 'string') expect(verdict(kind)).toBe(fault);
    else expect(verdict(kind)).toMatchObject(fault as object);
  });

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
