/** The benchmarks: measures the rows that were asked for, prints a table, and writes the rows as JSON. */
import { writeAtomically } from '../linux/files.ts';
import { asSluiceError, exitCodeOf, SluiceError } from '../model/errors.ts';
import { measureVerbs } from './cni/suite.ts';
import { measureGuard } from './guard/suite.ts';
import { measureLimits } from './limits/suite.ts';
import { thisMachine } from './machine.ts';
import { measureMemory } from './memory/suite.ts';
import { measureUserland } from './nfqueue/suite.ts';
import { type BenchOptions, parseOptions, USAGE } from './options.ts';
import { measurePaths } from './paths/suite.ts';
import { measureRates } from './rates/suite.ts';
import { measureRotation } from './rotation/suite.ts';
import { type Row, rowOf } from './rows.ts';
import type { Suite } from './suite.ts';
import { measureSwitch } from './switch/suite.ts';
import { renderTable } from './table.ts';
import { measureVolumes } from './volumes/suite.ts';

const SUITES: readonly Suite[] = [
  measurePaths,
  measureUserland,
  measureVerbs,
  measureRates,
  measureSwitch,
  measureGuard,
  measureMemory,
  measureLimits,
  measureVolumes,
  measureRotation,
];

/** @returns the exit code; a goal that was missed is a figure, not a failure */
async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options === undefined) {
      process.stdout.write(USAGE);
      return 0;
    }
    requireRoot();
    await bench(options, stopSignal());
    return 0;
  } catch (thrown) {
    const { code, message, hint } = asSluiceError(thrown);
    console.error(`bench: ${message}\n${hint}`);
    return exitCodeOf(code);
  }
}

function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new SluiceError('refused', 'the benchmarks build networks, which takes root', 'run them as root');
}

async function bench(
  { rows: wanted, jsonFile, rounds, seconds }: BenchOptions,
  signal: AbortSignal,
): Promise<void> {
  const machine = thisMachine();
  const started = performance.now();
  const progress = (line: string): void => {
    const elapsed = ((performance.now() - started) / 1_000).toFixed(0).padStart(4);
    console.error(`${elapsed} s  ${line}`);
  };
  const rows: Row[] = [];
  for (const suite of SUITES) {
    const measurements = await suite({ wanted: new Set(wanted), rounds, seconds, signal, progress });
    rows.push(...measurements.map((measurement) => rowOf(measurement, machine)));
    signal.throwIfAborted();
  }
  const inOrder = wanted.flatMap((id) => rows.filter((row) => row.id === id));
  if (jsonFile !== undefined) writeAtomically(jsonFile, `${JSON.stringify(inOrder, undefined, 2)}\n`, 0o644);
  process.stdout.write(`\n${renderTable(inOrder, machine)}`);
}

/** The first Ctrl-C ends the measuring, and what was put up is taken down; a second one is not waited for. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () =>
      stop.abort(new SluiceError('program_failed', `stopped by ${name}`, 'nothing was left behind')),
    );
  }
  return stop.signal;
}

process.exitCode = await main(process.argv.slice(2));
