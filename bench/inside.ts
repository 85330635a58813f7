/** Programs inside a network namespace. */
import type { Argv } from '../linux/process.ts';

/** Only the network changes: unlike `ip netns exec`, nothing is mounted. */
export function inside({ netns }: { readonly netns: string }, argv: Argv): Argv {
  return ['nsenter', `--net=${netns}`, '--', ...argv];
}
