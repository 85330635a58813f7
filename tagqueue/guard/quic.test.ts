import fc from 'fast-check';
import { clientHello, cryptoFrame, quicInitial } from '../../test/support/hellos.ts';
import { looksLikeQuic, QuicBeginning } from './quic.ts';

const found = (domain: string | null): object => ({ state: 'found', domain });

/** The CRYPTO frame of RFC 9001 appendix A.2, which RFC 9369 appendix A.2 has too. */
const SAMPLE_FRAME = Buffer.from(
  [
    '060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868',
    '04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578',
    '616d706c652e636f6dff01000100000a00080006001d00170018001000070005',
    '04616c706e000500050100000000003300260024001d00209370b2c9caa47fba',
    'baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400',
    '0d0010000e0403050306030203080408050806002d00020101001c0002400100',
    '3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000',
    '75300901100f088394c8f03e51570806048000ffff',
  ].join(''),
  'hex',
);

/** How the protected packets of both appendices begin and end; the end holds what authenticates all of it. */
const SAMPLES = [
  {
    version: 1,
    begins: 'c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11',
    ends: '8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e194cd934',
  },
  {
    version: 2,
    begins: 'd76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485',
    ends: 'a18b2faa745b6fe189cf772a9f84cbfc',
  },
] as const;

const hello = clientHello({ name: 'blue.example', extensions: [{ type: 51, data: Buffer.alloc(1_500, 3) }] });

describe("QUIC's first packets", () => {
  it.each(SAMPLES)(
    'are those of the standard, version $version, and are read',
    ({ version, begins, ends }) => {
      const packet = quicInitial({ version, number: 2, frames: SAMPLE_FRAME });
      expect(packet).toHaveLength(1_200);
      expect(packet.toString('hex').startsWith(begins)).toBe(true);
      expect(packet.toString('hex').endsWith(ends)).toBe(true);
      expect(looksLikeQuic(packet)).toBe(true);
      expect(new QuicBeginning().add(packet)).toEqual(found('example.com'));
    },
  );

  it('are put together over several datagrams, in any order, with frames in any order', () => {
    const first = Buffer.concat([
      cryptoFrame(600, hello.subarray(600, 900)),
      cryptoFrame(0, hello.subarray(0, 300)),
    ]);
    const second = cryptoFrame(300, hello.subarray(300, 600));
    const third = cryptoFrame(900, hello.subarray(900));
    const packets = [first, second, third].map((frames, number) => quicInitial({ number, frames }));
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const beginning = new QuicBeginning();
      const glimpses = order.map((index) => beginning.add(packets[index]!));
      expect(glimpses.slice(0, 2).map(({ state }) => state)).toEqual(['more', 'more']);
      expect(glimpses[2]).toEqual(found('blue.example'));
    }
  });

  it('are read past acknowledgements and pings, and after a retry with other keys', () => {
    const ack = Buffer.from([2, 5, 0, 1, 0, 0, 0]);
    const frames = Buffer.concat([Buffer.from([1, 0, 0]), ack, cryptoFrame(0, hello.subarray(0, 900))]);
    const beginning = new QuicBeginning();
    expect(beginning.add(quicInitial({ frames }))).toMatchObject({ state: 'more' });
    const later = { destinationId: Buffer.from('the server chose'), number: 1 };
    const rest = cryptoFrame(900, hello.subarray(900));
    expect(beginning.add(quicInitial({ ...later, frames: rest }))).toEqual(found('blue.example'));
  });

  it('are refused with frames that have no place there, or that contradict each other', () => {
    expect(new QuicBeginning().add(quicInitial({ frames: Buffer.from([8, 0, 0]) }))).toEqual({ state: 'no' });
    const beginning = new QuicBeginning();
    beginning.add(quicInitial({ frames: cryptoFrame(0, hello.subarray(0, 500)) }));
    const other = Buffer.from(hello.subarray(0, 500));
    other[400]! ^= 1;
    expect(beginning.add(quicInitial({ number: 1, frames: cryptoFrame(0, other) }))).toEqual({ state: 'no' });
  });

  it('show nothing when a bit has changed', () => {
    fc.assert(
      fc.property(fc.nat(1_199), fc.nat(7), (at, bit) => {
        const packet = quicInitial({ frames: cryptoFrame(0, hello.subarray(0, 1_000)) });
        packet[at]! ^= 1 << bit;
        expect(new QuicBeginning().add(packet)).toEqual({ state: 'no' });
      }),
    );
  });

  it('never make the reader throw, whatever follows their beginning', () => {
    const start = quicInitial({ frames: SAMPLE_FRAME });
    fc.assert(
      fc.property(fc.nat(60), fc.uint8Array({ maxLength: 1_400 }), (length, rest) => {
        new QuicBeginning().add(Buffer.concat([start.subarray(0, length), rest]));
      }),
      { numRuns: 1_000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1_000 }), (frames) => {
        const beginning = new QuicBeginning();
        beginning.add(quicInitial({ frames: Buffer.from(frames) }));
        expect(beginning.size).toBeLessThanOrEqual(16_384);
      }),
      { numRuns: 1_000 },
    );
  });
});
