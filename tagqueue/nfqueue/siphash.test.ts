/** The packet path's hash is the readable one's. */
import { randomBytes } from 'node:crypto';
import { siphash24 } from '../siphash.ts';
import { mac, siphash } from './siphash.ts';

it('agrees with the readable SipHash on random keys and messages', () => {
  for (let i = 0; i < 2_000; i++) {
    const key = randomBytes(16);
    const message = randomBytes(16);
    const words = Uint32Array.from([0, 4, 8, 12], (at) => key.readUInt32LE(at));
    siphash(
      Uint32Array.of(7, ...words),
      1,
      message.readUInt32LE(0),
      message.readUInt32LE(4),
      message.readUInt32LE(8),
      message.readUInt32LE(12),
    );
    const expected = siphash24(key, message);
    expect([mac[0], mac[1]]).toEqual([expected.readUInt32LE(0), expected.readUInt32LE(4)]);
  }
});
