/** One node of a lab: a network namespace that plays a machine, with run and state directories of its own. */
import { readTextIfThere, writeAtomically } from '../linux/files.ts';
import {
  type Argv,
  type Daemon,
  type Outcome,
  type RunOptions,
  run,
  runOk,
  startDaemon,
} from '../linux/process.ts';
import { removeTree } from '../linux/tree.ts';
import type { Ipv4 } from '../model/addresses.ts';
import type { Config } from '../model/config.ts';
import { SluiceError } from '../model/errors.ts';
import type { NodeName } from '../model/names.ts';
import type { Checkout } from './checkout.ts';
import { type CniCall, type CniOutcome, type CniVerb, callPlugin } from './cni.ts';
import { untilReady } from './daemons.ts';
import { netnsPath } from './network.ts';
import { type NodePlan, UPLINK } from './topology.ts';

/** What `sluice up` is started with, besides node and uplink. */
export interface StartOptions {
  /** HOST:PORT where other nodes reach this one's server. */
  readonly listen?: string;
  /** The server of another node, and a token for it. */
  readonly join?: { readonly server: string; readonly token: string };
  /** How long to wait until the node is ready; default 30. */
  readonly readySeconds?: number;
  /** The configuration file; default: empty. JSON is YAML. */
  readonly config?: DeepPartial<Config>;
}

type DeepPartial<T> = {
  readonly [K in keyof T]?: T[K] extends object | undefined ? DeepPartial<T[K]> : T[K];
};

export interface LabNode {
  readonly name: NodeName;
  /** Name of the network namespace, for ip(8). */
  readonly namespace: string;
  /** Its path, for everybody else. */
  readonly netns: string;
  readonly address: Ipv4;
  readonly runDir: string;
  readonly stateDir: string;
  readonly logFile: string;
  /** The environment in which `sluice` means this node. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs a program inside the node's network namespace. It must succeed. @returns what it printed */
  exec(argv: Argv, options?: RunOptions): Promise<string>;
  /** Runs `sluice` for this node, inside its namespace. It may fail. */
  sluice(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Calls the CNI plugin as a runtime on this node would. */
  cni(verb: CniVerb, call: CniCall): Promise<CniOutcome>;
  /** Runs `sluice up` and waits until it is ready. @throws SluiceError `not_ready` with the end of its log */
  start(options?: StartOptions): Promise<void>;
  /** Stops and starts again, as part of the same cluster, with another configuration. */
  restart(config?: StartOptions['config']): Promise<void>;
  /** Ends the daemons and leaves the kernel as it is. */
  stop(): Promise<void>;
  /** Takes everything of the node away but the namespace itself. */
  down(): Promise<void>;
}

const READY_SECONDS = 30;
/** What is worth reading of a log when something went wrong. */
const TAIL_CHARACTERS = 3_000;

/** @param started  told of the daemon at once, so that it can be ended even if we are not there to do it */
export function createNode(plan: NodePlan, checkout: Checkout, started: (daemon: Daemon) => void): LabNode {
  const runDir = `${plan.directory}/run`;
  const stateDir = `${plan.directory}/state`;
  const logFile = `${plan.directory}/log`;
  const configFile = `${plan.directory}/sluice.yaml`;
  const netns = netnsPath(plan.namespace);
  const env = environment({ SLUICE_RUN_DIR: runDir, SLUICE_STATE_DIR: stateDir, SLUICE_CONFIG: configFile });
  // Not `ip netns exec`: it mounts a /sys of its own, which hides the control groups from runtimes.
  const inside = (argv: Argv): Argv => ['nsenter', `--net=${netns}`, '--', ...argv];
  const sluice = (args: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
    run(inside([checkout.sluice, ...args]), {
      timeoutMs: 60_000,
      ...options,
      env: { ...env, ...options.env },
    });
  let daemon: Daemon | undefined;
  let last: StartOptions = {};

  async function start(options: StartOptions = {}): Promise<void> {
    last = options;
    const { listen, join, config = {} } = options;
    writeAtomically(configFile, JSON.stringify(config));
    const where = listen === undefined ? [] : ['--listen', listen];
    const whose = join === undefined ? [] : ['--join', join.server, '--token', join.token];
    const up = [checkout.sluice, 'up', '--node', plan.name, '--uplink', UPLINK, ...where, ...whose] as const;
    daemon = await startDaemon(inside(up), { env, logFile });
    started(daemon);
    const died = new AbortController();
    const ended = daemon.exited.then((code) => {
      died.abort();
      return `it ended with exit code ${code}`;
    });
    const withinMs = (options.readySeconds ?? READY_SECONDS) * 1_000;
    if (await untilReady(runDir, { up: daemon.id.pid, withinMs, signal: died.signal })) return;
    const why = died.signal.aborted ? await ended : (await sluice(['status'])).stdout;
    throw notReady(plan.name, why, logFile);
  }

  async function stop(): Promise<void> {
    await daemon?.stop();
    daemon = undefined;
  }

  return {
    ...{ name: plan.name, namespace: plan.namespace, netns, address: plan.address },
    ...{ runDir, stateDir, logFile, env, sluice, start, stop },
    restart: async (config = {}) => {
      await stop();
      await start({ ...last, config });
    },
    exec: (argv, options = {}) => runOk(inside(argv), { ...options, env: { ...env, ...options.env } }),
    cni: (verb, call) => callPlugin(checkout.plugin, runDir, verb, call),
    async down(): Promise<void> {
      const { code, stderr } = await sluice(['down', '--yes']);
      if (code !== 0)
        throw new SluiceError('program_failed', `sluice down on ${plan.name}: ${stderr}`, 'see its log');
      await stop();
      removeTree(stateDir);
      removeTree(runDir);
    },
  };
}

/** Ours, without what would lead `sluice` to another node. */
function environment(own: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const foreign = new Set(['SLUICE_SERVER', 'SLUICE_TOKEN']);
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.has(name))),
    ...own,
  };
}

function notReady(node: NodeName, why: string, logFile: string): SluiceError {
  const tail = (readTextIfThere(logFile) ?? '').slice(-TAIL_CHARACTERS);
  return new SluiceError(
    'not_ready',
    `node ${node} did not get ready:\n${why}\n${tail}`,
    'the log above says why',
  );
}
