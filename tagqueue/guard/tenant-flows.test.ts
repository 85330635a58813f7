import fc from 'fast-check';
import { numberToIpv4 } from '../../model/addresses.ts';
import { GuardRules } from '../../model/guard.ts';
import { clientHello, cryptoFrame, dnsQuestion, quicInitial, tlsRecords } from '../../test/support/hellos.ts';
import type { GuardedPacket } from './packet.ts';
import { compilePolicy } from './policy.ts';
import {
  MOST_BEGINNING_BYTES,
  MOST_BEGINNINGS,
  MOST_REFUSED,
  type Outcome,
  TenantFlows,
} from './tenant-flows.ts';

const flowsUnder = (rules: object): TenantFlows =>
  new TenantFlows(compilePolicy(GuardRules.parse({ tenant: 'blue', ...rules })));

const NOTHING = Buffer.alloc(0);
const FIRST = 0xffff_fff0;

function packet(more: Partial<GuardedPacket>): GuardedPacket {
  return {
    source: numberToIpv4(0x0a50_0002),
    destination: numberToIpv4(0xc633_6401),
    protocol: 6,
    sourcePort: 40_000,
    destinationPort: 443,
    tcp: undefined,
    payload: NOTHING,
    ...more,
  };
}
const syn = (more: Partial<GuardedPacket> = {}, sequence = FIRST): GuardedPacket =>
  packet({ tcp: { sequence, syn: true, ack: false }, ...more });
/** @param at  place in the stream; the numbers wrap around after 15 bytes */
const segment = (at: number, payload: Buffer, more: Partial<GuardedPacket> = {}): GuardedPacket =>
  packet({ tcp: { sequence: (FIRST + 1 + at) >>> 0, syn: false, ack: true }, payload, ...more });
const datagram = (payload: Buffer, more: Partial<GuardedPacket> = {}): GuardedPacket =>
  packet({ protocol: 17, payload, ...more });

const BY_NAME = {
  rules: [
    { name: 'good', match: { domain: 'good.example' }, verdict: 'allow' },
    { name: 'rest', match: { protocol: 'other' }, verdict: 'deny' },
  ],
  default: 'deny',
};
const good = tlsRecords(clientHello({ name: 'good.example' }));
const bad = tlsRecords(clientHello({ name: 'evil.example' }));
const outcomes = (flows: TenantFlows, packets: readonly GuardedPacket[]): Outcome[] =>
  packets.map((one, index) => flows.judge(one, index).outcome);
const cut = (bytes: Buffer, size: number): GuardedPacket[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    segment(i * size, bytes.subarray(i * size, (i + 1) * size)),
  );

describe("a tenant's flows", () => {
  it('are decided at once where nothing need be seen of them', () => {
    const flows = flowsUnder({
      rules: [{ name: 'net', match: { destination: '198.51.100.0/24' }, verdict: 'deny' }],
    });
    expect(flows.judge(syn(), 0)).toMatchObject({ outcome: 'refuse', decided: { rule: 'net' } });
    const elsewhere = syn({ destination: numberToIpv4(1) });
    expect(flows.judge(elsewhere, 0)).toMatchObject({ outcome: 'release', decided: { rule: 'default' } });
    expect(flows.held.beginnings).toBe(0);
  });

  it.each([1, 7, 100, 10_000])('pass until they show themselves, in segments of %i bytes', (size) => {
    for (const [bytes, last] of [
      [good, 'release'],
      [bad, 'refuse'],
    ] as const) {
      const packets = [syn(), segment(0, NOTHING), ...cut(bytes, size)];
      const expected = [...packets.slice(1).map((): Outcome => 'pass'), last];
      expect(outcomes(flowsUnder(BY_NAME), packets)).toEqual(expected);
    }
  });

  it('are the same in any order of segments, repeated and overlapping', () => {
    const pieces = fc.array(fc.tuple(fc.nat(good.length), fc.integer({ min: 1, max: 80 })), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(pieces, fc.constantFrom(good, bad), fc.gen(), (extra, bytes, gen) => {
        const flows = flowsUnder(BY_NAME);
        const parts = cut(bytes, 20);
        const more = extra.map(([at, length]) => segment(at, bytes.subarray(at, at + length)));
        const shuffled = gen(fc.shuffledSubarray, [...parts, ...more], {
          minLength: parts.length + more.length,
        });
        flows.judge(syn(), 0);
        const decided = shuffled.flatMap((one) => flows.judge(one, 1).decided ?? []);
        expect(decided[0]).toMatchObject(
          bytes === good ? { verdict: 'allow', rule: 'good' } : { verdict: 'deny', rule: 'default' },
        );
      }),
    );
  });

  it('that contradict themselves, are silent for long, or say too much are nothing known', () => {
    const contradicting = [syn(), segment(0, good.subarray(0, 50)), segment(10, bad.subarray(11, 40))];
    const huge = Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x3e, 0]);
    for (const packets of [contradicting, [syn(), segment(0, huge), segment(16_380, Buffer.alloc(10))]]) {
      const flows = flowsUnder(BY_NAME);
      const last = packets.map((one) => flows.judge(one, 1)).at(-1);
      expect(last).toMatchObject({
        outcome: 'refuse',
        decided: { rule: 'rest', seen: { protocol: 'other' } },
      });
    }
    const slow = flowsUnder(BY_NAME);
    slow.judge(syn(), 0);
    expect(slow.judge(segment(0, good.subarray(0, 5)), 9_000).outcome).toBe('pass');
    expect(slow.judge(segment(5, good.subarray(5)), 11_000)).toMatchObject({ decided: { rule: 'rest' } });
  });

  it('stay refused, and cannot come back in the middle of what they said', () => {
    const flows = flowsUnder({ ...BY_NAME, rules: [BY_NAME.rules[0]], default: 'deny' });
    expect(outcomes(flows, [syn(), segment(0, bad), segment(0, bad)])).toEqual(['pass', 'refuse', 'refuse']);
    expect(flows.judge(segment(0, bad), 20_000)).toMatchObject({ decided: { rule: 'begun-unseen' } });
    expect(flows.judge(syn({}, 77), 20_000).outcome).toBe('pass');
  });

  it('of QUIC are known by their ClientHello, over as many datagrams as it takes', () => {
    const hello = clientHello({
      name: 'good.example',
      extensions: [{ type: 51, data: Buffer.alloc(1_200) }],
    });
    const frames = [cryptoFrame(0, hello.subarray(0, 1_000)), cryptoFrame(1_000, hello.subarray(1_000))];
    const packets = frames.map((frame, number) => datagram(quicInitial({ number, frames: frame })));
    expect(outcomes(flowsUnder(BY_NAME), packets)).toEqual(['pass', 'release']);
    expect(flowsUnder(BY_NAME).judge(datagram(Buffer.from('anything')), 0)).toMatchObject({
      decided: { rule: 'rest' },
    });
  });

  it('of DNS are judged question by question where rules name domains', () => {
    const question = (name: string): GuardedPacket => datagram(dnsQuestion(name), { destinationPort: 53 });
    const flows = flowsUnder(BY_NAME);
    const asked = [question('good.example'), question('good.example'), question('evil.example')];
    expect(outcomes(flows, asked)).toEqual(['pass', 'pass', 'refuse']);
    expect(flowsUnder({}).judge(question('good.example'), 0).outcome).toBe('release');
  });

  it('hold their places until they have ended', () => {
    const flows = flowsUnder({ limits: { concurrent: 2 } });
    const from = (sourcePort: number): GuardedPacket => syn({ sourcePort });
    expect(outcomes(flows, [1, 2, 3].map(from))).toEqual(['release', 'release', 'refuse']);
    flows.retain(new Set(['6 10.80.0.2:2 198.51.100.1:443']), 100);
    expect(flows.held.holding).toBe(1);
    expect([4, 5].map((port) => flows.judge(from(port), 200).outcome)).toEqual(['release', 'refuse']);
  });

  it('of before count too, and do so once', () => {
    const flows = flowsUnder({ limits: { concurrent: 2 } });
    for (const key of ['a', 'b', 'b']) flows.adopt(key, 0);
    expect(flows.judge(syn(), 1).outcome).toBe('refuse');
    flows.retain(new Set(['a']), 2);
    expect(flows.judge(syn({ sourcePort: 9 }), 3).outcome).toBe('release');
  });

  it('take bounded memory however many they are', () => {
    const flows = flowsUnder(BY_NAME);
    const far = Buffer.from([22, 3, 1, 0x3f, 0, 1, 0, 0x3e, 0]);
    for (let i = 0; i < 20_000; i++) {
      const where = { sourcePort: 1 + (i % 60_000), destination: numberToIpv4(i) };
      flows.judge(syn(where), i);
      flows.judge(segment(0, far, where), i);
      flows.judge(segment(12_000, Buffer.alloc(4_000), where), i);
    }
    expect(flows.held.beginnings).toBeLessThanOrEqual(MOST_BEGINNINGS);
    expect(flows.held.beginningBytes).toBeLessThanOrEqual(MOST_BEGINNING_BYTES);
    expect(flows.held.beginningBytes).toBeGreaterThan(0);
    expect(flows.held.refused).toBeLessThanOrEqual(MOST_REFUSED);
    flows.expire(1_000_000);
    expect(flows.held).toEqual({ beginnings: 0, beginningBytes: 0, refused: 0, holding: 0 });
  });
});
