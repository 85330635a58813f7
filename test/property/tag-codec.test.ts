import fc from 'fast-check';
import { numberToIpv4 } from '../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import { areHarmlessOptions, TAG_BYTES } from '../../tagqueue/options.ts';
import { decodeTag, encodeTag, type TagKey, verifyTag } from '../../tagqueue/wire.ts';

const address = fc.integer({ min: 0, max: 0xffff_ffff }).map(numberToIpv4);
const flow = fc.record({
  source: address,
  destination: address,
  protocol: fc.integer({ min: 0, max: 255 }),
});
const tenant = fc.integer({ min: 1, max: 0xff_ff_ff }).map((tag) => tag as TenantTag);
const key = fc.record({
  epoch: fc.integer({ min: 0, max: 255 }).map((epoch) => epoch as KeyEpoch),
  secret: fc.uint8Array({ minLength: 16, maxLength: 16 }),
});
const onlyKey = ({ epoch, secret }: TagKey): Map<KeyEpoch, Uint8Array> => new Map([[epoch, secret]]);

describe('the tag codec', () => {
  it('believes every tag it made, and reads the same tenant and epoch from it', () => {
    fc.assert(
      fc.property(flow, tenant, key, (flow, tenant, key) => {
        const option = encodeTag(flow, tenant, key);
        expect(option.length).toBe(TAG_BYTES);
        expect(verifyTag(flow, option, onlyKey(key))).toMatchObject({ tenant, epoch: key.epoch });
      }),
    );
  });

  it('believes no tag with a bit changed, wherever it stands', () => {
    fc.assert(
      fc.property(
        flow,
        tenant,
        key,
        fc.integer({ min: 0, max: TAG_BYTES * 8 - 1 }),
        (flow, tenant, key, bit) => {
          const option = encodeTag(flow, tenant, key);
          option[bit >> 3]! ^= 1 << (bit & 7);
          expect(typeof verifyTag(flow, option, onlyKey(key))).toBe('string');
        },
      ),
    );
  });

  it('does not believe a tag on a packet of another flow', () => {
    fc.assert(
      fc.property(flow, flow, tenant, key, (flow, other, tenant, key) => {
        fc.pre(JSON.stringify(flow) !== JSON.stringify(other));
        expect(verifyTag(other, encodeTag(flow, tenant, key), onlyKey(key))).toBe('tag_forged');
      }),
    );
  });

  it('does not believe a tag made with another key of the same epoch', () => {
    fc.assert(
      fc.property(flow, tenant, key, fc.integer({ min: 0, max: 127 }), (flow, tenant, key, bit) => {
        const secret = Uint8Array.from(key.secret);
        secret[bit >> 3]! ^= 1 << (bit & 7);
        expect(verifyTag(flow, encodeTag(flow, tenant, { ...key, secret }), onlyKey(key))).toBe('tag_forged');
      }),
    );
  });

  it('takes any bytes without throwing, and reads a tenant only from a whole tag', () => {
    const start = fc.constantFrom([], [0x9e], [0x9e, 16], [0x9e, 16, 1]);
    const bytes = fc.tuple(start, fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 40 }));
    fc.assert(
      fc.property(bytes, ([start, rest]) => {
        const tag = decodeTag(Uint8Array.from([...start, ...rest]));
        if (typeof tag === 'string') return;
        const behind = Uint8Array.from([...start, ...rest]).subarray(TAG_BYTES);
        expect(start.length + rest.length).toBeGreaterThanOrEqual(TAG_BYTES);
        const view = new DataView(behind.buffer, behind.byteOffset, behind.byteLength);
        expect(areHarmlessOptions(view, 0, behind.length)).toBe(true);
        expect(tag.tenant).toBeGreaterThan(0);
        expect(tag.tenant).toBeLessThan(2 ** 24);
      }),
    );
  });
});
