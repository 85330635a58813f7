import fc from 'fast-check';
import { type Fingerprint, formatToken, parseToken, type Secret, type TokenId } from './join.ts';

const base64url = (bytes: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((array) => Buffer.from(array).toString('base64url'));
const id = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((array) => Buffer.from(array).toString('hex'));

describe('a token', () => {
  it('survives being written and read', () => {
    fc.assert(
      fc.property(id, base64url(32), base64url(32), (one, secret, fingerprint) => {
        const token = {
          id: one as TokenId,
          secret: secret as Secret,
          fingerprint: fingerprint as Fingerprint,
        };
        expect(parseToken(` ${formatToken(token)}\n`)).toEqual(token);
      }),
    );
  });

  it('that is none is refused without being repeated', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.constant(`sluice2.${'a'.repeat(16)}.${'b'.repeat(43)}.${'c'.repeat(43)}`)),
        (text) => {
          expect(() => parseToken(text)).toThrow(
            expect.objectContaining({ code: 'invalid_request', message: 'this is no sluice token' }),
          );
        },
      ),
    );
  });
});
