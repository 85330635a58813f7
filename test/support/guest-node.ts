/** Node in a guest (lab/vm). */
import type { CommandOptions, Guest } from '../../lab/vm/guest.ts';
import type { Outcome } from '../../linux/process.ts';

/** How a shell tells of SIGTRAP, by which V8 ends itself. */
const ENDED_BY_V8 = 133;
const STARTS = 3;

/**
 * On emulated processors a check of V8's own fails now and then, before or while our program runs ("Fatal error in , line
 * 0"). That says nothing of the program, which is started again; whatever it says itself counts at once.
 */
export async function nodeIn(
  guest: Guest,
  args: readonly string[],
  options?: CommandOptions,
): Promise<Outcome> {
  for (let left = STARTS; ; left--) {
    const outcome = await guest.run(['node_modules/.bin/node', ...args], options);
    if (outcome.code !== ENDED_BY_V8 || left === 1) return outcome;
    process.stdout.write('    V8 has ended Node in the guest: it is started again\n');
  }
}
