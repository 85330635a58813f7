/** Asks before something is destroyed. */
import { createInterface } from 'node:readline/promises';
import { SluiceError } from '../model/errors.ts';

/**
 * On a terminal it asks, unless --yes was said. Where nobody can be asked it goes on: a script means what it says.
 * @param what  such as 'delete tenant blue'
 * @throws SluiceError `refused` when the answer is not yes
 */
export async function confirm(what: string, yes: boolean | undefined): Promise<void> {
  if (yes || !process.stdin.isTTY || !process.stderr.isTTY) return;
  // On stderr, so that the output stays what it would have been.
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`${what[0]?.toUpperCase()}${what.slice(1)}? [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    prompt.close();
  }
  throw new SluiceError('refused', `did not ${what}`, 'answer y, or say --yes');
}
