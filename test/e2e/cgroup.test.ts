/** Limits of cgroups on the kernel at hand: real groups and processes, every field. Needs root. */
import path from 'node:path';
import { run } from '../../linux/process.ts';
import { CASES } from '../cgroup/cases.ts';

const SCRIPT = path.resolve(import.meta.dirname, '../cgroup/limits-on-this-kernel.ts');
/** Each line of what the program prints. */
interface Result {
  readonly test: string;
  readonly ok: boolean;
  readonly figures: Readonly<Record<string, unknown>>;
  readonly why?: string;
}

describe('a container on this kernel', () => {
  // One mount namespace for each, so that nothing stays mounted whatever happens.
  it.each(Object.keys(CASES))('%s', async (name) => {
    const { stdout, stderr } = await run(['unshare', '--mount', process.execPath, SCRIPT, name], {
      timeoutMs: 50_000,
    });
    const results = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Result);
    process.stdout.write(
      `${results.map(({ test, figures }) => `${test}: ${JSON.stringify(figures)}`).join('\n')}\n`,
    );
    expect({ results: results.map(({ test, ok, why }) => ({ test, ok, why })), stderr }).toEqual({
      results: [{ test: name, ok: true }],
      stderr: '',
    });
  });
});
