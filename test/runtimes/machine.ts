/** A namespace that plays a whole machine: network, mounts and host name of its own, and the default paths. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { LabNode } from '../../lab/node.ts';
import {
  type Argv,
  type Daemon,
  type Outcome,
  type RunOptions,
  run,
  runOk,
  startDaemon,
} from '../../linux/process.ts';
import { until } from './until.ts';

/** Everything that `sluice up` could change, as the tools print it; two states are equal or they are not. */
export type MachineState = Readonly<Record<string, string>>;

export interface Machine {
  /** Runs a program on the machine; it may fail. */
  run(argv: Argv, options?: RunOptions): Promise<Outcome>;
  /** Runs a program that must succeed. @returns what it printed */
  exec(argv: Argv, options?: RunOptions): Promise<string>;
  /** Runs one that goes on. */
  start(argv: Argv, logFile: string): Promise<Daemon>;
  state(): Promise<MachineState>;
  /** Process ids of what runs on it, besides itself. */
  processes(): readonly number[];
  /** By name, the settings of the network. */
  sysctls(): Promise<ReadonlyMap<string, string>>;
  stop(): Promise<void>;
}

/**
 * Its disks are empty, and it sees no mounts of others, which come and go. An administrator has been here: a rule,
 * a route and a setting that are none of ours.
 */
const SET_UP = `
  hostname machine
  findmnt --raw --noheadings --output TARGET | grep -E '^/(run|var/lib)/' | sort -r | xargs -r umount --lazy
  findmnt --raw --noheadings --output TARGET --types bpf,nsfs | xargs -r umount --lazy
  for directory in /etc /run /var/lib; do mount -t tmpfs tmpfs $directory; done
  ip netns add first
  ip netns delete first
  nft 'add table inet admin; add chain inet admin input { type filter hook input priority 0; }'
  nft add rule inet admin input tcp dport 23 drop
  ip route add 203.0.113.0/24 via 192.0.2.254
  echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects
  exec sleep 2147483647`;

const LOOKS = {
  links: ['ip', '-details', 'link'],
  addresses: ['ip', 'address'],
  routes: ['ip', 'route', 'show', 'table', 'all'],
  rules: ['ip', 'rule'],
  neighbours: ['ip', 'neighbour', 'show', 'nud', 'permanent'],
  qdiscs: ['tc', 'qdisc'],
  ingress: ['tc', 'filter', 'show', 'dev', 'up0', 'ingress'],
  egress: ['tc', 'filter', 'show', 'dev', 'up0', 'egress'],
  nftables: ['nft', 'list', 'ruleset'],
  mounts: ['cat', '/proc/self/mountinfo'],
  files: ['find', '/etc', '/run', '/var/lib', '-printf', '%M %u %g %p %l\n'],
  listening: ['ss', '--listening', '--tcp', '--udp', '--numeric', '--no-header'],
} as const satisfies Readonly<Record<string, Argv>>;

/** Counts what goes on, and is no setting. */
const COUNTER = /^net\.netfilter\.nf_conntrack_count$/;

/** @param node  of a lab; only its namespace, its uplink and its address are used */
export async function machineOn({ netns }: LabNode): Promise<Machine> {
  const script = ['sh', '-euc', SET_UP] as const;
  const holder = await startDaemon([
    'nsenter',
    `--net=${netns}`,
    '--',
    'unshare',
    '--mount',
    '--uts',
    '--',
    ...script,
  ]);
  const { pid } = holder.id;
  await until('the machine is set up', () => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n');
  const inside = (argv: Argv): Argv => [
    'nsenter',
    '--target',
    String(pid),
    '--net',
    '--mount',
    '--uts',
    '--',
    ...argv,
  ];
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_')));
  const runInside: Machine['run'] = (argv, options = {}) =>
    run(inside(argv), { timeoutMs: 60_000, ...options, env: { ...env, ...options.env } });
  const exec: Machine['exec'] = (argv, options = {}) =>
    runOk(inside(argv), { ...options, env: { ...env, ...options.env } });
  const sysctls = async (): Promise<ReadonlyMap<string, string>> => {
    const { stdout } = await runInside(['sysctl', '--all', '--pattern', '^net\\.']);
    const pairs = stdout.split('\n').map((line) => line.split(' = '));
    return new Map(
      pairs.filter(([name = '']) => !COUNTER.test(name)).map(([name = '', value = '']) => [name, value]),
    );
  };
  const processes = (): number[] => processesIn(netnsOf(pid)).filter((one) => one !== pid);
  return {
    run: runInside,
    exec,
    sysctls,
    start: (argv, logFile) => startDaemon(inside(argv), { env, logFile }),
    async state() {
      const looks = Object.entries(LOOKS).map(
        async ([name, argv]) => [name, sorted(name, await exec(argv))] as const,
      );
      const state = Object.fromEntries(await Promise.all(looks));
      const settings = [...(await sysctls())].map((pair) => pair.join(' = ')).join('\n');
      return { ...state, settings, processes: processes().join(' ') };
    },
    processes,
    stop: () => holder.stop(),
  };
}

/** find(1) lists in the directory's order, which says nothing. */
function sorted(name: string, text: string): string {
  return name === 'files' ? text.split('\n').sort().join('\n') : text;
}

function netnsOf(pid: number | string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined; // it has ended
  }
}

function processesIn(netns: string | undefined): number[] {
  const names = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && netnsOf(name) === netns);
  return names.map(Number);
}
