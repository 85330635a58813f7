/** The relay's own JSON reader against the language's: VERSION gives back the `cniVersion` it has read. */
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { versionForErrors } from '../../cni/version.ts';
import { buildRelay, scratch } from './relay-process.ts';

const place = scratch();
let relay = '';
beforeAll(() => {
  relay = buildRelay(place.path);
});
afterAll(() => place[Symbol.dispose]());

function readByRelay(text: string): string {
  const { stdout } = spawnSync(relay, { env: { CNI_COMMAND: 'VERSION' }, input: text });
  return JSON.parse(stdout.toString()).cniVersion;
}

/** Strings that have a spelling in C, and none that JSON.stringify writes as a lone surrogate. */
const word = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((text) => !text.includes('\0') && text.isWellFormed());
const object = fc.dictionary(fc.oneof(word, fc.constant('cniVersion')), fc.oneof(word, fc.jsonValue()), {
  maxKeys: 4,
});
/** Well-formed, in several spellings. */
const well = fc
  .tuple(object, fc.constantFrom(undefined, 1, '\t'))
  .map(([value, space]) => JSON.stringify(value, null, space));
/** With one character taken out, put in or doubled: mostly broken, sometimes not. */
const bent = fc
  .tuple(
    well,
    fc.nat(),
    fc.constantFrom('', '"', '\\', ',', '}', ']', '{', '0', '-', 'e', '.', '\n', 'u00', ' '),
  )
  .map(([text, at, put]) => {
    const index = at % (text.length + 1);
    return (text.slice(0, index) + put + text.slice(index + (put === '' ? 1 : 0))).toWellFormed();
  });

describe("the relay's JSON reader", () => {
  it.each([well, bent].map((texts, i) => [['whole', 'bent'][i], texts] as const))(
    'reads %s texts as the language does',
    (_, texts) => {
      fc.assert(
        fc.property(texts, (text) => {
          expect(readByRelay(text)).toBe(versionForErrors(text));
        }),
        { numRuns: 300 },
      );
    },
  );

  const rows: [string, string][] = [
    ['{"cniVersion":"\\ud83d\\ude00\\u00fc"}', '😀ü'],
    ['{"cniVersion":"\\ud800\\udc00\\udbff\\udfff"}', '\u{10000}\u{10ffff}'],
    ['{"cniVersion":"\\ud800\\ue000"}', '1.1.0'],
    ['{"cniVersion":"a","cniVersion":1}', '1.1.0'],
    ['{"cniVersion":"a\\u0000b"}', '1.1.0'],
    ['{"cniVersion":"\\ud83d"}', '1.1.0'],
    [`{"cniVersion":"a","x":${'['.repeat(100)}${']'.repeat(100)}}`, 'a'],
    [`{"cniVersion":"a","x":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, '1.1.0'],
    [`{"cniVersion":"${'v'.repeat(500_000)}"}`, 'v'.repeat(500_000)],
  ];
  it.each(rows)('reads the odd text %#', (text, expected) => {
    expect(readByRelay(text) === expected).toBe(true);
  });
});
