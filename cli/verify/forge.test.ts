import fc from 'fast-check';
import { ETHERTYPE, ethernetFrame, internetChecksum, ipv4Packet, PROTOCOL } from '../../linux/frames.ts';
import type { Ipv4, Mac } from '../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import { encodeTag, verifyTag } from '../../tagqueue/wire.ts';
import { enterTunnel, leaveTunnel } from '../../tagqueue/wire-vxlan.ts';
import { BARE, type Envelope, echoFrame, forgeries, readStamped } from './forge.ts';

const [SOURCE, DESTINATION] = ['10.64.0.2' as Ipv4, '10.64.4.2' as Ipv4];
const [OURS, NEXT] = ['02:00:00:00:00:01' as Mac, '02:00:00:00:00:02' as Mac];
const FLOW = { source: SOURCE, destination: DESTINATION, protocol: PROTOCOL.icmp };

const anyTag = fc
  .record({
    secret: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    epoch: fc.integer({ min: 0, max: 254 }),
    tenant: fc.integer({ min: 1, max: 0xff_ff_fe }),
  })
  .map(({ secret, epoch, tenant }) => {
    const key = { epoch: epoch as KeyEpoch, secret };
    return { keys: new Map([[key.epoch, secret]]), tag: encodeTag(FLOW, tenant as TenantTag, key) };
  });

const FROM = { mac: OURS, address: SOURCE };
const ENDS = {
  source: '192.0.2.1' as Ipv4,
  destination: '192.0.2.2' as Ipv4,
  sourcePort: 50_000,
  port: 4789,
};
const anyTunnel = fc
  .record({
    secret: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    epoch: fc.integer({ min: 0, max: 254 }).map((epoch) => epoch as KeyEpoch),
    tenant: fc.integer({ min: 1, max: 0xff_ff_fe }).map((tenant) => tenant as TenantTag),
  })
  .map(({ secret, epoch, tenant }) => {
    const plain = echoFrame(FROM, NEXT, DESTINATION, Buffer.from('token')).subarray(14);
    const frame = ethernetFrame(
      OURS,
      NEXT,
      ETHERTYPE.ipv4,
      enterTunnel(plain, ENDS, tenant, { epoch, secret }),
    );
    return {
      genuine: readStamped(frame)!.genuine,
      receiver: {
        ...{ port: 4789, keys: new Map([[epoch, secret]]), nodeOf: () => ENDS.source, isOwn: () => true },
      },
    };
  });

describe('forgeries', () => {
  it('are refused by the codec, every one of them, while the genuine tag is not', () => {
    fc.assert(
      fc.property(anyTag, ({ keys, tag }) => {
        expect(verifyTag(FLOW, tag, keys)).toMatchObject({ version: 1 });
        for (const { what, envelope } of forgeries({ ...BARE, options: tag })) {
          const { options } = envelope;
          expect([what, typeof verifyTag(FLOW, options, keys)]).toEqual([what, 'string']);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('are refused in the tunnel too, every one of them, while the genuine headers are not', () => {
    fc.assert(
      fc.property(anyTunnel, ({ receiver, genuine }) => {
        const sent = (envelope: Envelope): Buffer =>
          echoFrame(FROM, NEXT, DESTINATION, Buffer.from('another token'), envelope).subarray(14);
        expect(leaveTunnel(sent(genuine), receiver)).toMatchObject({ tenant: expect.any(Number) });
        for (const { what, envelope } of forgeries(genuine)) {
          expect([what, typeof leaveTunnel(sent(envelope), receiver)]).toEqual([what, 'string']);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('fit into a packet: whole words, at most 40 bytes', () => {
    for (const { envelope } of forgeries({ ...BARE, options: Buffer.alloc(16, 7) })) {
      const { options } = envelope;
      expect(options.length % 4).toBe(0);
      expect(options.length).toBeLessThanOrEqual(40);
    }
  });

  it('flip each bit of the MAC once', () => {
    const zeros = { ...BARE, options: Buffer.alloc(16) };
    const all = forgeries(zeros).map(({ envelope }) => envelope.options.toString('hex'));
    expect(all.filter((hex) => /^0{16}0*[1248]0*$/.test(hex))).toHaveLength(64);
  });
});

describe('readStamped', () => {
  it('finds the tag that stands in a frame', () => {
    fc.assert(
      fc.property(anyTag, ({ tag }) => {
        const genuine = { ...BARE, options: tag };
        const frame = echoFrame(FROM, NEXT, DESTINATION, Buffer.from('token'), genuine);
        expect(readStamped(frame)).toEqual({ source: OURS, nextHop: NEXT, genuine });
      }),
    );
  });

  it('sees none in other frames', () => {
    const plain = ipv4Packet(FLOW, Buffer.alloc(64));
    expect(readStamped(ethernetFrame(OURS, NEXT, ETHERTYPE.ipv4, plain))).toBeUndefined();
    expect(readStamped(ethernetFrame(OURS, NEXT, ETHERTYPE.arp, Buffer.alloc(64)))).toBeUndefined();
    expect(readStamped(Buffer.alloc(20))).toBeUndefined();
    const foreign = ipv4Packet({ ...FLOW, options: Buffer.alloc(16, 1) }, Buffer.alloc(64));
    expect(readStamped(ethernetFrame(OURS, NEXT, ETHERTYPE.ipv4, foreign))).toBeUndefined();
  });
});

describe('an echo', () => {
  it('has right checksums, whatever it carries', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 99 }), (token) => {
        const frame = echoFrame({ mac: OURS, address: SOURCE }, NEXT, DESTINATION, Buffer.from(token));
        expect(internetChecksum(frame.subarray(14, 34))).toBe(0);
        expect(internetChecksum(frame.subarray(34))).toBe(0);
      }),
    );
  });
});
