import fc from 'fast-check';
import {
  decodeProbe,
  encodeProbe,
  type FenceProbe,
  PROBE_BYTES,
  PROBE_KINDS,
  type ProbeKind,
} from './fence-probe.ts';

const anyProbe: fc.Arbitrary<FenceProbe> = fc.record(
  {
    type: fc.constantFrom('probe' as const, 'echo' as const),
    kind: fc.constantFrom(...(Object.keys(PROBE_KINDS) as ProbeKind[])),
    id: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex')),
    receivedAt: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    ...{ answerBy: fc.constantFrom('option' as const, 'vxlan' as const) },
  },
  { requiredKeys: ['type', 'kind', 'id', 'receivedAt'] },
);

describe('a probe on the wire', () => {
  it('is read as it was written, whatever fills the packet', () => {
    fc.assert(
      fc.property(anyProbe, fc.integer({ min: PROBE_BYTES, max: 1_400 }), (probe, bytes) => {
        const message = encodeProbe(probe, bytes);
        expect(message).toHaveLength(bytes);
        expect(decodeProbe(message)).toEqual(probe);
      }),
    );
  });

  it('is not taken for one when it is something else', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        (bytes) => decodeProbe(Buffer.from(bytes)) === undefined,
      ),
    );
    const probe = encodeProbe({ type: 'probe', kind: 'valid', id: '00'.repeat(16), receivedAt: 0n });
    expect(decodeProbe(probe.subarray(0, -1))).toBeUndefined();
    for (const at of [0, 7, 8, 9]) {
      const other = Buffer.from(probe);
      other[at] = 0x7f;
      expect(decodeProbe(other)).toBeUndefined();
    }
  });
});
