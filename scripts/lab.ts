/**
 * Proofs under the second kernel (docs/lab.md). `lab.ts` alone runs those in test/vm; `lab.ts FILE [ARGUMENT…]` runs a
 * file of this checkout inside a guest, a test by jest and any other by Node, and ends with its exit code.
 */
import { bootGuest } from '../lab/vm/guest.ts';
import { runAttached } from '../linux/child.ts';
import { asSluiceError } from '../model/errors.ts';

const LONGEST_MS = 30 * 60_000;
const NODE = 'node_modules/.bin/node';
const JEST = [
  ...['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
  'node_modules/jest/bin/jest.js',
];

async function runInGuest(args: readonly string[]): Promise<number> {
  await using guest = await bootGuest({ memoryMiB: 2048 });
  const { code } = await guest.run([NODE, ...args], {
    timeoutMs: LONGEST_MS,
    onLine: (line, stream) => (stream === 'stdout' ? console.log(line) : console.error(line)),
  });
  return code;
}

const [file, ...rest] = process.argv.slice(2);
try {
  if (file === undefined) process.exitCode = await runAttached(NODE, [...JEST, 'test/vm'], process.env);
  else process.exitCode = await runInGuest([...(file.endsWith('.test.ts') ? JEST : []), file, ...rest]);
} catch (error) {
  const { message, hint } = asSluiceError(error);
  console.error(`${message}\n${hint}`);
  process.exitCode = 1;
}
