/** `sluice switch`: limits of chosen containers, changed for a time. */
import type { Argv } from 'yargs';
import { changing, destroying, type Root, server } from './options.ts';
import { approve, close, extend } from './switch-ends.ts';
import { choiceFlags, openFlags, openSwitch, planSwitch } from './switch-open.ts';
import { history, list, showSwitch } from './switch-show.ts';

const SWITCH = {
  type: 'string',
  demandOption: true,
  describe: 'Its id, or its name where only one has it',
} as const;

export function switches(yargs: Root): Argv {
  const withEnds = withEndings(
    server(yargs)
      .command(
        'open',
        'Change limits of chosen containers for a time; they come back by themselves',
        (y) => openFlags(changing(choiceFlags(y))),
        (flags) => openSwitch(flags),
      )
      .command(
        'plan',
        'Say what `open` with the same words would do, to each container, and whether it would be refused',
        (y) => choiceFlags(y),
        (flags) => planSwitch(flags),
      ),
  );
  return withEnds
    .command(
      ['list', 'ls'],
      'List switches that are open, wait for their time, or wait for a second person',
      (y) => y.option('all', { type: 'boolean', default: false, describe: 'Those that are over, too' }),
      (flags) => list(flags, flags.all),
    )
    .command(
      'show <switch>',
      'Show a switch, and what has become of it at each container',
      (y) => y.positional('switch', SWITCH),
      (flags) => showSwitch(flags, flags.switch),
    )
    .command(
      'history [switch]',
      'List switches that are over; of one: who did what, when, why, and each value before and after',
      (y) => y.positional('switch', { ...SWITCH, demandOption: false }),
      (flags) => history(flags, flags.switch),
    )
    .demandCommand(1, 'say what to do with switches') as unknown as Argv;
}

function withEndings<T>(yargs: Argv<T>): Argv<T> {
  return yargs
    .command(
      'close [switch]',
      'End a switch now, or with --all every one; limits are what they were without it',
      (y) =>
        destroying(y)
          .positional('switch', { ...SWITCH, demandOption: false })
          .option('all', { type: 'boolean', default: false, describe: 'Every switch of the cluster' })
          .option('reason', {
            type: 'string',
            default: 'closed by hand',
            describe: 'Why, for the audit log',
          }),
      (flags) => close(flags),
    )
    .command(
      'extend <switch>',
      'Give a switch another end',
      (y) =>
        changing(y)
          .positional('switch', SWITCH)
          .option('until', { type: 'string', describe: 'Until when: 2030-01-31T12:00Z, or +2h from now' })
          .option('by', { type: 'string', describe: 'By how much longer than it would last: 2h' })
          .option('zone', { type: 'string', describe: 'Whose clocks a time without an offset is of' })
          .option('force', {
            type: 'boolean',
            default: false,
            describe: 'Also when nodes lack what it gives',
          })
          .option('reason', { type: 'string', demandOption: true, describe: 'Why, for the audit log' }),
      (flags) => extend(flags),
    )
    .command(
      'approve <switch>',
      'Agree to a switch that waits for a second person',
      (y) =>
        changing(y)
          .positional('switch', SWITCH)
          .option('force', {
            type: 'boolean',
            default: false,
            describe: 'Also when nodes lack what it gives',
          })
          .option('reason', { type: 'string', default: 'agreed', describe: 'Why, for the audit log' }),
      (flags) => approve(flags),
    );
}
