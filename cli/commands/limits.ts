/** `sluice limits`: what containers are held to, and what holds where no plan says anything. */
import type { Argv } from 'yargs';
import { LimitDefaults, RateMeaning } from '../../model/plan.ts';
import { show } from '../output.ts';
import { withServer } from './clients.ts';
import { type LimitWords, limitFlags, limitLines, withWords } from './limit-words.ts';
import { containerLimits } from './limits-container.ts';
import { type Changing, changing, type Root, server } from './options.ts';

const PATH = '/v1/limits/default';

export function limits(yargs: Root): Argv {
  return containerLimits(yargs)
    .command('default', 'What holds for containers of which neither app nor plan says anything', defaults)
    .demandCommand(1, 'say what to do with limits');
}

function defaults(yargs: Argv): Argv {
  return server(yargs)
    .command(
      'show',
      'Show it',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const known = LimitDefaults.parse(await client.request('GET', PATH));
          show((flags as { json?: boolean }).json, known, () => textOf(known));
        }),
    )
    .command(
      'set',
      'Change it; what is not named stays',
      (y) =>
        changing(limitFlags(y)).option('meaning', {
          choices: RateMeaning.options,
          describe: 'What a rate counts: bits of Ethernet frames, or TCP payload',
        }),
      (flags) => set(flags),
    )
    .demandCommand(1, 'say what to do with the defaults');
}

interface SetFlags extends Changing, LimitWords {
  readonly server?: string | undefined;
  readonly meaning?: RateMeaning | undefined;
}

async function set(flags: SetFlags): Promise<void> {
  await withServer(flags, async (client) => {
    const known = LimitDefaults.parse(await client.request('GET', PATH));
    const body: LimitDefaults = {
      container: withWords(known.container, flags.limit, flags.unset),
      meaning: flags.meaning ?? known.meaning,
    };
    if (flags.dryRun) {
      const would = { dryRun: true, would: 'set the default limits', before: known, after: body };
      return show(flags.json, would, () => `would set the default limits to:\n${textOf(body)}`);
    }
    const after = LimitDefaults.parse(await client.request('PUT', PATH, body));
    show(flags.json, after, () => textOf(after));
  });
}

function textOf({ container, meaning }: LimitDefaults): string {
  const lines = limitLines(container);
  const what = lines.length === 0 ? ['nothing is limited'] : lines;
  return [
    ...what,
    '',
    `a rate counts ${meaning === 'wire' ? 'bits of Ethernet frames' : 'TCP payload'}`,
  ].join('\n');
}
