import { readFileSync } from 'node:fs';
import { LIMIT_FIELDS, type LimitField, type LimitValue } from './limits.ts';
import { boundsOf, limitProblem, parseLimit, printLimit, readBytes, readLimit } from './quantity.ts';

describe("the documentation's table of fields", () => {
  const text = readFileSync(new URL('../docs/limits.md', import.meta.url), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));

  it.each(LIMIT_FIELDS)('has %s with values that are read as such', (field) => {
    const cells = rows.find((row) => row.split('|')[1]?.includes(`\`${field}\``))?.split('|') ?? [];
    const examples = [...(cells[3] ?? '').matchAll(/`([^`]+)`/g)].map(([, word]) => word);
    if (!/as (?:above|`)/.test(cells[3] ?? '')) expect(examples.length).toBeGreaterThan(0);
    if (examples.every((word) => word !== 'block.read' && word !== 'block.readOps'))
      for (const word of examples) expect(readLimit(field, word)).toMatchObject({ ok: true });
    const ends = /^ (\S+) – (\S+) $/.exec(cells[4] ?? '');
    if (ends === null) return;
    const bounds = boundsOf(field);
    expect([parseLimit(field, ends[1]), parseLimit(field, ends[2])]).toEqual([bounds?.min, bounds?.max]);
  });
});

describe('a value of a limit', () => {
  it.each<[LimitField, string | number, LimitValue]>([
    ['net.external.out', '50Mbit', 50_000_000],
    ['net.external.out', '1Gbit', 1_000_000_000],
    ['net.internal.in', '800kbit', 800_000],
    ['net.internal.in', '1.1Mbit', 1_100_000],
    // Not what their products as doubles come to.
    ['net.internal.in', '64.1kbit', 64_100],
    ['net.internal.in', '8.29Gbit', 8_290_000_000],
    ['tenant.net.external.in', '8000bit', 8_000],
    ['memory', '128MiB', 134_217_728],
    ['memory', '1.5GiB', 1_610_612_736],
    ['memory.high', '10MB', 10_000_000],
    ['memory', '4194304B', 4_194_304],
    ['block.read', '50MB/s', 50_000_000],
    ['volume.write', '64MiB/s', 67_108_864],
    ['tenant.volume.readOps', '5', 5],
    ['cpu', '0.5', 0.5],
    ['cpu', 0.5, 0.5],
    ['cpu', '500m', 0.5],
    ['cpu', '4', 4],
    ['pids', '200', 200],
    ['pids', 200, 200],
    ['block.readOps', '500', 500],
    ['cpu.weight', '100', 100],
    ['cpu.burst', '20ms', 20],
    ['cpu.set', '0-3,7', '0-3,7'],
    ['cpu.set', '7,1,0,2-3', '0-3,7'],
    ['memory', 'unlimited', null],
    ['cpu.set', 'unlimited', null],
  ])('of %s, %j, is read as %j', (field, word, value) => {
    expect(readLimit(field, word)).toEqual({ ok: true, value });
  });

  it.each<[LimitField, unknown, RegExp, RegExp]>([
    ['net.external.out', '50', /"50" has no unit/, /say 50Mbit/],
    ['net.external.out', 50, /has no unit/, /50Mbit/],
    ['net.external.out', '50M', /not clear/, /say 50Mbit$/],
    ['net.external.out', '50mbit', /not clear/, /say 50Mbit$/],
    ['net.external.out', '50Mb', /not clear/, /50Mbit, or 400Mbit if bytes/],
    ['net.external.out', '50mbps', /not clear/, /50Mbit, or 400Mbit if bytes/],
    ['net.external.out', '50MB/s', /not clear/, /400Mbit if bytes were meant/],
    ['net.external.out', '7kbit', /less than makes sense/, /8kbit/],
    ['net.external.out', '0Mbit', /less than makes sense/, /8kbit/],
    ['net.external.out', '2Tbit', /more than makes sense/, /1Tbit/],
    ['net.external.out', '8000.5bit', /no whole number/, /50Mbit/],
    ['net.external.out', '-5Mbit', /no quantity/, /say 50Mbit/],
    ['net.external.out', '50 Mbit', /no quantity/, /50Mbit/],
    ['net.external.out', '5e7bit', /not clear/, /Mbit/],
    ['memory', '128', /has no unit/, /128MiB.*128MB/],
    ['memory', '50M', /not clear/, /50MiB .*1024.*50MB .*1000/],
    ['memory', '50mb', /not clear/, /50MiB .*or 50MB /],
    ['memory', '128Mi', /not clear/, /128MiB/],
    ['memory', '128mib', /not clear/, /128MiB/],
    ['memory', '50MB/s', /not clear/, /128MiB/],
    ['memory', '3MiB', /less than makes sense/, /4MiB/],
    ['memory', '65TiB', /more than makes sense/, /64TiB/],
    ['memory', '0.0000001MiB', /less than/, /4MiB/],
    ['block.read', '50MB', /not clear/, /50MiB\/s .*50MB\/s/],
    ['block.read', '50MBps', /not clear/, /50MB\/s/],
    ['block.read', '999B/s', /less than/, /1kB\/s|1000B\/s/],
    ['volume.read', '63kB/s', /less than makes sense/, /64kB\/s/],
    ['tenant.volume.writeOps', 4, /less than/, /least is 5$/],
    ['cpu', '50%', /not clear/, /say 0.5$/],
    ['cpu', '0.001', /less than/, /0.01/],
    ['cpu', Number.NaN, /no quantity/, /0.5/],
    ['cpu', Number.POSITIVE_INFINITY, /no quantity/, /0.5/],
    ['cpu', -1, /no quantity/, /0.5/],
    ['cpu', '', /no quantity/, /0.5/],
    ['cpu', null, /no value/, /unlimited/],
    ['cpu', { quota: 1 }, /no value/, /0.5/],
    ['cpu', 'none', /no quantity/, /unlimited/],
    ['pids', 0, /less than/, /least is 1$/],
    ['pids', '1.5', /no whole number/, /200/],
    ['pids', '200k', /not clear/, /200/],
    ['cpu.weight', '10001', /more than/, /10000/],
    ['cpu.burst', '20', /has no unit/, /say 20ms/],
    ['cpu.burst', '0.5s', /not clear/, /say 500ms/],
    ['cpu.set', '3-1', /no list of CPUs/, /0-3,7/],
    ['cpu.set', '0-', /no list/, /0-3,7/],
    ['cpu.set', '', /no list/, /0-3,7/],
    ['cpu.set', '0-9999', /no list/, /0-3,7/],
  ])('of %s, %j, is refused: %s, and the hint is %s', (field, word, problem, hint) => {
    const reading = readLimit(field, word);
    expect(reading).toMatchObject({ ok: false });
    if (reading.ok) return;
    expect(reading.problem).toMatch(problem);
    expect(reading.hint).toMatch(hint);
  });

  it.each<[LimitField, LimitValue, string]>([
    ['net.external.out', 50_000_000, '50Mbit'],
    ['net.external.out', 800_000, '800kbit'],
    ['net.external.out', 1_500_000, '1.5Mbit'],
    ['net.external.out', 12_345_678, '12345678bit'],
    ['memory', 134_217_728, '128MiB'],
    ['memory', 500_000_000, '500MB'],
    ['memory', 1_610_612_736, '1.5GiB'],
    ['memory', 8_340_123_648, '8144652KiB'],
    ['memory', 123_456_789, '123456789B'],
    ['block.write', 20_000_000, '20MB/s'],
    ['cpu', 0.5, '0.5'],
    ['cpu', 0.01, '0.01'],
    ['cpu.burst', 20, '20ms'],
    ['cpu.set', '0-3,7', '0-3,7'],
    ['pids', 200, '200'],
    ['pids', null, 'unlimited'],
    // What only the kernel had: shown, though nobody may ask for it.
    ['memory', 4096, '4KiB'],
    ['pids', 0, '0'],
    ['block.read', 0, '0'],
  ])('%s of %j is printed as %s', (field, value, text) => {
    expect(printLimit(field, value)).toBe(text);
  });

  it.each(LIMIT_FIELDS)(
    '%s has a problem where the type is wrong, and none where it is unlimited',
    (field) => {
      expect(limitProblem(field, field === 'cpu.set' ? 3.5 : '3.5')).toBeDefined();
      expect(limitProblem(field, Number.NaN)).toBeDefined();
      expect(limitProblem(field, null)).toBeUndefined();
    },
  );

  it('that is refused says of which field it was, and what to do', () => {
    expect(() => parseLimit('net.external.out', '50')).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: 'net.external.out: "50" has no unit',
        hint: 'say 50Mbit',
      }),
    );
  });
});

describe('a size that is no limit', () => {
  const bounds = { min: 2 ** 30, max: 2 ** 50 };

  it('is read within the bounds that are given', () => {
    expect(readBytes('10GiB', bounds)).toEqual({ ok: true, value: 10 * 2 ** 30 });
    expect(readBytes('1024TiB', bounds)).toEqual({ ok: true, value: 2 ** 50 });
    expect(readBytes('1.5TB', bounds)).toEqual({ ok: true, value: 1.5e12 });
  });

  it.each([
    ['0', /has no unit/, /GiB|MiB/],
    ['1B', /less than makes sense/, /the least is 1GiB$/],
    ['1025TiB', /more than makes sense/, /the most is 1024TiB$/],
    ['10G', /not clear here/, /10GiB \(powers of 1024\) or 10GB/],
    ['10EiB', /not clear here/, /^say 128MiB, 1GiB or 500MB$/],
    ['-1GiB', /is no quantity/, /^say 128MiB, 1GiB or 500MB$/],
    ['unlimited', /is no quantity/, /500MB$/],
  ])('is refused as %j, and never called unlimited', (word, problem, hint) => {
    expect(readBytes(word, bounds)).toEqual({
      ...{ ok: false, problem: expect.stringMatching(problem), hint: expect.stringMatching(hint) },
    });
  });
});
