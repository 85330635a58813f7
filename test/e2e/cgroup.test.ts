/** Limits of cgroups on the kernel at hand: real groups and processes, every field. Needs root. */
import path from 'node:path';
import { run } from '../../linux/process.ts';
import { CASES } from '../cgroup/cases.ts';

const SCRIPT = path.resolve(import.meta.dirname, '../cgroup/limits-on-this-kernel.ts');
const NAMES = Object.keys(CASES);
const LONGEST_MS = 170_000;
/** Each line of what the program prints. */
interface Result {
  readonly test: string;
  readonly ok: boolean;
  readonly figures: Readonly<Record<string, unknown>>;
  readonly why?: string;
}

let results: ReadonlyMap<string, Result>;
let said: string;

beforeAll(async () => {
  // In a mount namespace, so that nothing stays mounted whatever happens. It says itself why a case has failed.
  const { stdout, stderr } = await run(['unshare', '--mount', process.execPath, SCRIPT, ...NAMES], {
    timeoutMs: LONGEST_MS - 5_000,
  });
  const lines = stdout.split('\n').filter(Boolean);
  results = new Map(lines.map((line) => JSON.parse(line) as Result).map((one) => [one.test, one]));
  said = stderr;
}, LONGEST_MS);

describe('a container on this kernel', () => {
  it.each(NAMES)('%s', (name) => {
    const { ok, why, figures } = results.get(name) ?? { ok: false, why: 'it never got there', figures: {} };
    process.stdout.write(`${name}: ${JSON.stringify(figures)}\n`);
    expect({ ok, why }).toEqual({ ok: true, why: undefined });
  });

  it('and nothing is said of errors beside', () => {
    expect(said).toBe('');
  });
});
