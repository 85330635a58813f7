import fc from 'fast-check';
import { ETHERTYPE, ethernetFrame, internetChecksum, ipv4Packet, PROTOCOL } from '../../linux/frames.ts';
import type { Ipv4, Mac } from '../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import { encodeTag, verifyTag } from '../../tagqueue/wire.ts';
import { echoFrame, forgeries, readStamped } from './forge.ts';

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

describe('forgeries', () => {
  it('are refused by the codec, every one of them, while the genuine tag is not', () => {
    fc.assert(
      fc.property(anyTag, ({ keys, tag }) => {
        expect(verifyTag(FLOW, tag, keys)).toMatchObject({ version: 1 });
        for (const { what, options } of forgeries(tag)) {
          expect([what, typeof verifyTag(FLOW, options, keys)]).toEqual([what, 'string']);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('fit into a packet: whole words, at most 40 bytes', () => {
    for (const { options } of forgeries(Buffer.alloc(16, 7))) {
      expect(options.length % 4).toBe(0);
      expect(options.length).toBeLessThanOrEqual(40);
    }
  });

  it('flip each bit of the MAC once', () => {
    const all = forgeries(Buffer.alloc(16)).map(({ options }) => options.toString('hex'));
    expect(all.filter((hex) => /^0{16}0*[1248]0*$/.test(hex))).toHaveLength(64);
  });
});

describe('readStamped', () => {
  it('finds the tag that stands in a frame', () => {
    fc.assert(
      fc.property(anyTag, ({ tag }) => {
        const frame = echoFrame({ mac: OURS, address: SOURCE }, NEXT, DESTINATION, Buffer.from('token'), tag);
        expect(readStamped(frame)).toEqual({ source: OURS, nextHop: NEXT, tag });
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
