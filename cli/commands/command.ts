/** Commands whose code is loaded when they are called. */
import type { Argv } from 'yargs';
import type { Root } from './options.ts';

export interface Command<Flags> {
  /** Declares what may be said behind the command's name; `run` gets just that. */
  flags(yargs: Argv): Argv;
  run(flags: Flags): Promise<void>;
}

/** A line of the tree. `Command<never>`: yargs alone knows that the flags are those that were declared. */
export interface Entry {
  readonly name: string;
  readonly describe: string;
  load(): Promise<Command<never>>;
}

/** A line with commands of its own behind it, such as `sluice tenant`. */
export interface GroupEntry {
  readonly name: string;
  readonly describe: string;
  load(): Promise<(yargs: Root) => Argv>;
}

export function addCommand(yargs: Root, { name, describe, load }: Entry): void {
  yargs.command(
    name,
    describe,
    async (own) => (await load()).flags(own),
    async (flags) => (await load()).run(flags as never),
  );
}

export function addGroup(yargs: Root, { name, describe, load }: GroupEntry): void {
  yargs.command(name, describe, async (own) => (await load())(own));
}
