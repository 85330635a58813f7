/** `sluice up`: checks the machine, then runs the daemons until it is told to stop. */
import type { Argv } from 'yargs';
import { loadConfig } from '../config.ts';
import { nodeOptions, requireUplink } from '../node-options.ts';
import { placesOf } from '../places.ts';
import type { Command } from './command.ts';
import { type Changing, changing, nodeFlags } from './options.ts';

interface UpFlags extends Changing {
  readonly node?: string;
  readonly zone?: string;
  readonly label?: readonly string[];
  readonly uplink?: string;
  readonly listen?: string;
  readonly join?: string;
  readonly storage?: boolean;
  readonly token?: string;
}

export const up: Command<UpFlags> = { flags: upFlags, run: runUp };

function upFlags(yargs: Argv): Argv {
  return changing(nodeFlags(yargs))
    .option('token', { type: 'string', describe: 'A join token; needed the first time only' })
    .example('$0 up --uplink eth0', 'this machine alone')
    .example('$0 up --uplink eth0 --listen 192.0.2.1:7070', 'the first node of a cluster')
    .example('$0 up --uplink eth0 --join 192.0.2.1:7070 --token sluice1.…', 'a further node');
}

async function runUp(flags: UpFlags): Promise<void> {
  const places = placesOf(process.env);
  const config = await loadConfig(places);
  const options = nodeOptions(flags, config);
  const uplink = requireUplink(options);
  const { runUpFor } = await import('../supervisor/run.ts');
  process.exitCode = await runUpFor({
    ...options,
    uplink,
    places,
    config,
    token: flags.token,
    dryRun: flags.dryRun === true,
    json: flags.json === true,
  });
}
