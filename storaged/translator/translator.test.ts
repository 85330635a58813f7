/** Runs the tests of the translator's pure parts, which are written in C like it: buckets, queues, limits, names. */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const PROGRAM = path.resolve(import.meta.dirname, '../../build/translator-test');
const SOURCES = globSync(path.join(import.meta.dirname, 'test/*.c'));

const { stdout, status } = spawnSync(PROGRAM, { encoding: 'utf8', timeout: 30_000 });
const lines = (stdout ?? '').split('\n');
const cases = SOURCES.flatMap((source) =>
  [...readFileSync(source, 'utf8').matchAll(/^ {4}CASE\((\w+)\),$/gm)].map(([, name]) => name),
);

test("the program runs to its end; 'make' builds it", () => {
  expect({ status, said: lines.filter((line) => !line.startsWith('ok ')) }).toEqual({
    status: 0,
    said: [expect.stringMatching(/^[1-9]\d* checks, 0 failed$/), ''],
  });
  expect(cases.length).toBeGreaterThan(15);
});

test.each(cases)('%s', (name) => {
  expect(lines).toContain(`ok ${name}`);
});
