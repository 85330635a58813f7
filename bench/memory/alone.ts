/**
 * A `sluice` command with a copy of Node to itself. Pages of a program are shared by all who run it, and count
 * the less the more they are: without a copy, this very process would make the node look lighter.
 */
import path from 'node:path';
import { runOk } from '../../linux/process.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const ALONE = path.join(ROOT, 'build/bench/alone');

/** @returns the path of the command; a copy that is there and up to date is used again */
export async function sluiceAlone(): Promise<string> {
  const programs = path.join(ALONE, 'node_modules/.bin');
  await runOk(['mkdir', '-p', programs, path.join(ALONE, 'bin')]);
  const copy = (from: string, to: string): Promise<string> =>
    runOk(['cp', '--update', '--dereference', '--preserve', path.join(ROOT, from), to]);
  await copy('node_modules/.bin/node', programs);
  await copy('bin/sluice', path.join(ALONE, 'bin'));
  for (const folder of ['cli', 'build']) {
    await runOk(['ln', '-sfn', path.join(ROOT, folder), path.join(ALONE, folder)]);
  }
  return path.join(ALONE, 'bin/sluice');
}
