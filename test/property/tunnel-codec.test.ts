import fc from 'fast-check';
import { type Ipv4, numberToIpv4 } from '../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import { makeTag } from '../../tagqueue/token.ts';
import {
  decodeTunnel,
  enterTunnel,
  leaveTunnel,
  TUNNEL_BYTES,
  type TunnelEnds,
  type TunnelReceiver,
} from '../../tagqueue/wire-vxlan.ts';
import { ipv4 } from '../frames.ts';

const PORT = 4789;
const address = fc.integer({ min: 1, max: 0xffff_fffe }).map(numberToIpv4);
const inner = fc
  .record({
    ...{ source: address, destination: address, protocol: fc.integer({ min: 0, max: 255 }) },
    ...{ tos: fc.integer({ min: 0, max: 255 }), fragment: fc.integer({ min: 0, max: 0x7fff }) },
    payload: fc.uint8Array({ maxLength: 200 }),
  })
  .map(({ payload, ...fields }) => ({ flow: fields, packet: ipv4(fields, payload) }));
const ends = fc.record({
  ...{ source: address, destination: address, port: fc.constant(PORT) },
  sourcePort: fc.integer({ min: 49_152, max: 65_535 }),
});
const tenant = fc.integer({ min: 1, max: 0xff_ff_ff }).map((tag) => tag as TenantTag);
const key = fc.record({
  epoch: fc.integer({ min: 0, max: 255 }).map((epoch) => epoch as KeyEpoch),
  secret: fc.uint8Array({ minLength: 16, maxLength: 16 }),
});
type Key = typeof key extends fc.Arbitrary<infer T> ? T : never;
const receiver = ({ epoch, secret }: Key, from: Ipv4, { source }: TunnelEnds): TunnelReceiver => ({
  port: PORT,
  keys: new Map([[epoch, secret]]),
  nodeOf: (wanted) => (wanted === from ? source : undefined),
  isOwn: () => true,
});

/** Bits of the outer source port: it spreads flows, and says nothing. */
const isMeaningless = (bit: number): boolean => bit >> 3 === 20 || bit >> 3 === 21;

describe('the tunnel codec', () => {
  it('brings every packet and its tenant out as they went in', () => {
    fc.assert(
      fc.property(inner, ends, tenant, key, ({ flow, packet }, ends, tenant, key) => {
        const sent = enterTunnel(packet, ends, tenant, key);
        expect(sent.length).toBe(packet.length + TUNNEL_BYTES);
        expect(leaveTunnel(sent, receiver(key, flow.source, ends))).toEqual({ tenant, inner: packet });
      }),
    );
  });

  it('believes nothing with a bit changed before the inner packet, the source port excepted', () => {
    const bit = fc.integer({ min: 0, max: TUNNEL_BYTES * 8 - 1 }).filter((bit) => !isMeaningless(bit));
    fc.assert(
      fc.property(inner, ends, tenant, key, bit, ({ flow, packet }, ends, tenant, key, bit) => {
        const sent = enterTunnel(packet, ends, tenant, key);
        sent[bit >> 3]! ^= 0x80 >> (bit & 7);
        expect(typeof leaveTunnel(sent, receiver(key, flow.source, ends))).toBe('string');
      }),
      { numRuns: 1_000 },
    );
  });

  it('believes no tag of the other carrier', () => {
    fc.assert(
      fc.property(inner, ends, tenant, key, ({ flow, packet }, ends, tenant, key) => {
        const sent = enterTunnel(packet, ends, tenant, key);
        const { mac } = makeTag(flow, tenant, key, 'option');
        sent.set(mac.subarray(0, 4), 38);
        sent.set(mac.subarray(4), 44);
        expect(leaveTunnel(sent, receiver(key, flow.source, ends))).toBe('tag_forged');
      }),
    );
  });

  it('takes any bytes without throwing', () => {
    const start = fc.constantFrom([], [0x45], [0x45, 0, 0, 90]);
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 120 }), (start, rest) => {
        expect(decodeTunnel(Uint8Array.from([...start, ...rest]), PORT)).toBe('tunnel_malformed');
      }),
    );
  });
});
