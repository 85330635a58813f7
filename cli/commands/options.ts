/** Options that many commands share. */
import type { Argv } from 'yargs';

/** The tree's root: --json is everybody's. */
export type Root = Argv<{ json: boolean }>;

export interface Common {
  readonly json?: boolean | undefined;
}

export interface Changing extends Common {
  readonly dryRun?: boolean | undefined;
}

export interface Destroying extends Changing {
  readonly yes?: boolean | undefined;
}

export function changing<T>(yargs: Argv<T>): Argv<T & { dryRun: boolean }> {
  return yargs.option('dry-run', {
    type: 'boolean',
    default: false,
    describe: 'Say what would be done, and do nothing',
  }) as unknown as Argv<T & { dryRun: boolean }>;
}

export function destroying<T>(yargs: Argv<T>): Argv<T & { dryRun: boolean; yes: boolean }> {
  return changing(yargs).option('yes', {
    alias: 'y',
    type: 'boolean',
    default: false,
    describe: 'Do not ask',
  }) as unknown as Argv<T & { dryRun: boolean; yes: boolean }>;
}

export function server<T>(yargs: Argv<T>): Argv<T & { server: string | undefined }> {
  return yargs.option('server', {
    type: 'string',
    describe: 'host:port of a server elsewhere, with its token in SLUICE_TOKEN',
  }) as unknown as Argv<T & { server: string | undefined }>;
}

interface NodeWords {
  readonly node?: string;
  readonly zone?: string;
  readonly label?: string[];
  readonly uplink?: string;
  readonly listen?: string;
  readonly join?: string;
  readonly storage?: boolean;
}

/** The options of a node that daemons and `up` take. */
export function nodeFlags<T>(yargs: Argv<T>): Argv<T & NodeWords> {
  return yargs
    .option('node', { type: 'string', describe: "This node's name (default: the host name)" })
    .option('zone', { type: 'string', describe: 'Where this node stands; switches choose by it' })
    .option('label', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'KEY=VALUE for switches to choose by; may be said again',
    })
    .option('uplink', {
      type: 'string',
      describe: 'The interface that leads to the other nodes and the internet',
    })
    .option('listen', { type: 'string', describe: 'Serve other nodes on this address, HOST:PORT' })
    .option('join', {
      type: 'string',
      describe: 'Belong to the cluster of this server, HOST:PORT',
      conflicts: 'listen',
    })
    .option('storage', {
      type: 'boolean',
      describe: 'Keep bricks of shared volumes here (default: a machine that stands alone does)',
    }) as unknown as Argv<T & NodeWords>;
}
