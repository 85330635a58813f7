/** All commands people type, as one tree: names, help, and where each one's code is. */
import yargs, { type Argv } from 'yargs';
import { SluiceError } from '../../model/errors.ts';
import { show, showError } from '../output.ts';
import { DAEMONS } from '../places.ts';
import { versionOf } from '../version.ts';
import { addCommand, addGroup, type Entry, type GroupEntry } from './command.ts';
import { nodeFlags, type Root } from './options.ts';

/** What concerns the node of this machine. */
const NODE: readonly Entry[] = [
  {
    name: 'up',
    describe: 'Run a node: server, tagqueue, netd and storaged under one supervisor',
    load: async () => (await import('./up.ts')).up,
  },
  {
    name: 'down',
    describe: 'Take everything of this node away; its state stays',
    load: async () => (await import('./down.ts')).down,
  },
  {
    name: 'status',
    describe: 'Show how the node is',
    load: async () => (await import('./status.ts')).status,
  },
  {
    name: 'verify',
    describe: 'Prove the fence with real packets',
    load: async () => (await import('./verify.ts')).verify,
  },
  {
    name: 'doctor',
    describe: 'Check this machine, and say what to do',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  {
    name: 'uninstall',
    describe: 'Take everything of this node away, and its state',
    load: async () => (await import('./down.ts')).uninstall,
  },
  {
    name: 'drops',
    describe: 'Show what the fence refuses',
    load: async () => (await import('./drops.ts')).drops,
  },
  {
    name: 'usage',
    describe: 'Show what containers have sent and received',
    load: async () => (await import('./usage.ts')).usage,
  },
];

/** What the cluster knows. */
const CLUSTER: readonly GroupEntry[] = [
  {
    name: 'cluster',
    describe: 'What holds for all nodes',
    load: async () => (await import('./cluster.ts')).cluster,
  },
  {
    name: 'tenant',
    describe: 'Tenants: who is kept apart from whom',
    load: async () => (await import('./tenant.ts')).tenant,
  },
  {
    name: 'namespace',
    describe: 'Which tenant the pods of a Kubernetes namespace belong to',
    load: async () => (await import('./namespace.ts')).namespace,
  },
  {
    name: 'guard',
    describe: 'What tenants may do on the internet side',
    load: async () => (await import('./guard.ts')).guard,
  },
  {
    name: 'switch',
    describe: 'Limits of chosen containers, changed for a time',
    load: async () => (await import('./switch.ts')).switches,
  },
  {
    name: 'volume',
    describe: 'File systems that containers of a tenant share',
    load: async () => (await import('./volume.ts')).volumes,
  },
  {
    name: 'node',
    describe: 'The machines of the cluster',
    load: async () => (await import('./node.ts')).node,
  },
  {
    name: 'limits',
    describe: 'What containers are held to',
    load: async () => (await import('./limits.ts')).limits,
  },
  {
    name: 'endpoint',
    describe: 'The containers attached to this node',
    load: async () => (await import('./endpoint.ts')).endpoint,
  },
  {
    name: 'key',
    describe: 'The keys that tags are made with: which are in use, and changing them',
    load: async () => (await import('./key.ts')).key,
  },
  {
    name: 'token',
    describe: 'Tokens: what lets machines and people in',
    load: async () => (await import('./token.ts')).token,
  },
];

const AUDIT: Entry = {
  name: 'audit',
  describe: 'Show who changed what, and when',
  load: async () => (await import('./audit.ts')).audit,
};

/** @returns the exit code */
export async function runCommand(words: readonly string[]): Promise<number> {
  try {
    await tree(words).parseAsync();
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return showError(error, words.includes('--json'));
  }
}

function tree(words: readonly string[]): Argv {
  const root = yargs([...words])
    .scriptName('sluice')
    .usage('$0 <command>\n\nKeeps the containers of each tenant apart from those of all others.')
    .option('json', { type: 'boolean', default: false, global: true, describe: 'Print JSON' });
  for (const entry of NODE) addCommand(root, entry);
  for (const entry of CLUSTER) addGroup(root, entry);
  addCommand(root, AUDIT);
  addDaemons(root);
  addVersion(root);
  return root
    .completion('completion', 'Print a completion script for bash or zsh')
    .alias('help', 'h')
    .version(false)
    .demandCommand(1, 'say what to do')
    .strict()
    .recommendCommands()
    .updateStrings(STRINGS)
    .wrap(Math.min(WIDEST, process.stdout.columns ?? WIDEST))
    .epilogue(EXIT_CODES)
    .exitProcess(false)
    .fail((message, error) => {
      // yargs' own errors are about what was typed; all others come from the command.
      if (error instanceof Error && error.name !== 'YError') throw error;
      throw new SluiceError('invalid_request', message || error.message, helpFor(words));
    });
}

const WIDEST = 110;
const EXIT_CODES =
  'Exit codes: 0 done, 1 failed, 2 wrong use, 3 refused, 4 not found, 5 not reachable, 6 check failed.';
const plural = (one: string, other: string): string => ({ one, other }) as unknown as string;
/** In our words. y18n takes plurals as objects, which its types do not know. */
const STRINGS = {
  'Did you mean %s?': 'there is no such command; did you mean %s?',
  'Not enough non-option arguments: got %s, need at least %s': plural(
    'an argument is missing: got %s, need %s',
    'arguments are missing: got %s, need %s',
  ),
  'Unknown argument: %s': plural('there is no argument or option %s', 'there are no arguments or options %s'),
  'Unknown command: %s': plural('there is no command %s', 'there are no commands %s'),
};

/** For their help only: running them is cli/main.ts's business. */
function addDaemons(root: Root): void {
  const what = {
    server: "the cluster's API",
    tagqueue: 'the fence',
    netd: "this node's network",
    storaged: 'shared volumes',
  };
  for (const daemon of DAEMONS) {
    root.command(daemon, `Run one daemon in the foreground: ${what[daemon]}`, nodeFlags);
  }
}

function addVersion(root: Root): void {
  root.command(
    'version',
    'Print the version',
    (own) => own,
    ({ json }) => {
      const version = versionOf();
      const text = (): string => `sluice ${version} (Node ${process.version})`;
      show(json, { version, node: process.version }, text);
    },
  );
}

function helpFor(words: readonly string[]): string {
  const options = words.findIndex((word) => word.startsWith('-'));
  const command = words.slice(0, options < 0 ? 2 : Math.min(options, 2));
  return `see: ${['sluice', ...command, '--help'].join(' ')}`;
}
