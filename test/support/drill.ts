/** Containers of three tenants on two nodes, under load and held to their plans; what the kernel holds of them. */
import { readFileSync } from 'node:fs';
import { type Inhabitant, inhabit } from '../../lab/inhabitant.ts';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { localClient, type Method } from '../../linux/api-client.ts';
import { writeAtomically } from '../../linux/files.ts';
import type { SwitchShown } from '../../model/switch-request.ts';
import { until } from '../faults/crashes.ts';

const MIB = 2 ** 20;
const MBIT = 1e6;
/** Of every container, by its tenant's plan. */
const PLAN = {
  cpu: 0.05,
  memory: 64 * MIB,
  pids: 60,
  'block.write': 10 * MIB,
  'net.internal.in': 10 * MBIT,
  'net.internal.out': MBIT,
  'net.external.out': 2 * MBIT,
};
const TENANTS = ['shop', 'bank', 'labs'] as const;
/** The app whose switch is opened: some of the shop's containers. */
const APP = 'cart';

/** More than the plan lets through, and little for the machine: 2.3 Mbit/s of echoes. */
const PING = ['ping', '-q', '-i', '0.005', '-s', '1400'];

export interface Member {
  readonly name: string;
  readonly node: LabNode;
  readonly tenant: (typeof TENANTS)[number];
  readonly app: string;
  readonly container: LabContainer;
  readonly inhabitant: Inhabitant;
}

export interface Drill {
  readonly lab: Lab;
  readonly members: readonly Member[];
  /** Those whom the switch is for. */
  readonly chosen: readonly Member[];
  close(): Promise<void>;
}

interface DrillOptions {
  readonly prefix: string;
  /** Pairs of containers, one on each node; every third is the app's. */
  readonly pairs: number;
}

/** The two of a pair send to each other, as fast as they may. */
export async function startDrill({ prefix, pairs }: DrillOptions): Promise<Drill> {
  const lab = await createLab({ prefix, nodes: ['a', 'b'] });
  try {
    for (const node of lab.nodes) node.env['SLUICE_CLOCK_SHIFT'] = clockFile(node);
    await lab.start();
    for (const tenant of TENANTS) {
      await lab.tenant(tenant);
      await ask(lab, 'PUT', `/v1/plans/${tenant}`, { tenant, container: PLAN });
    }
    const members: Member[] = [];
    for (let pair = 0; pair < pairs; pair += 1) members.push(...(await startPair(lab, pair)));
    const chosen = members.filter(({ app }) => app === APP);
    return { lab, members, chosen, close: () => lab.close() };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

type Placed = Omit<Member, 'inhabitant'>;

async function startPair(lab: Lab, pair: number): Promise<Member[]> {
  const tenant = TENANTS[pair % TENANTS.length]!;
  const app = tenant === 'shop' ? APP : tenant;
  const both = await Promise.all(
    lab.nodes.map(async (node): Promise<Placed> => {
      const name = `${app}${pair}`;
      return { name, node, tenant, app, container: await attach(lab, node, tenant, app, name) };
    }),
  );
  return Promise.all(
    both.map(async (one, index) => ({ ...one, inhabitant: await load(lab, one, both[1 - index]!) })),
  );
}

export function attach(
  lab: Lab,
  node: LabNode,
  tenant: string,
  app: string,
  name: string,
): Promise<LabContainer> {
  return lab.container(node.name, tenant, name, { conf: { app } });
}

/** Traffic; and two of the app's compute, for the others' traffic is not to wait for CPU time. */
export function load(lab: Lab, { name, container }: Placed, to: Placed): Promise<Inhabitant> {
  const ping = [...PING, to.container.internal].join(' ');
  const work = name === `${APP}0` ? 'exec nice -n 19 sh -c "while :; do :; done"' : 'sleep infinity';
  return inhabit(lab, container, { argv: ['sh', '-c', `${ping} >/dev/null & ${work}`] });
}

/** What the server is asked, and says. */
async function ask<T>(lab: Lab, method: Method, path: string, body?: unknown): Promise<T> {
  const client = localClient(`${lab.nodes[0]!.runDir}/server.sock`);
  try {
    return (await client.request(method, path, body)) as T;
  } finally {
    client.close();
  }
}

/** Opens `peak` for the app, and waits until every container of it has answered. */
export function openPeak(lab: Lab, forMs: number): Promise<SwitchShown> {
  return ask(lab, 'POST', '/v1/switches?waitMs=5000', {
    ...{ preset: 'peak', select: { app: [APP] }, forMs, reason: 'a drill', force: true },
  });
}

/** Every file in which a limit stands, on either version of control groups. */
const FILES = [
  ...['cpu.cfs_quota_us', 'cpu.cfs_period_us', 'cpu.shares', 'cpu.max', 'cpu.weight', 'cpu.max.burst'],
  ...['cpuset.cpus', 'memory.limit_in_bytes', 'memory.max', 'memory.high', 'pids.max', 'io.max', 'io.weight'],
  ...['blkio.throttle.read_bps_device', 'blkio.throttle.write_bps_device'],
  ...['blkio.throttle.read_iops_device', 'blkio.throttle.write_iops_device', 'blkio.weight'],
];

export type KernelValues = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Field by field, by container: control groups from their files, rates as netd reads them from the kernel. */
export async function kernelValues(members: readonly Member[]): Promise<KernelValues> {
  const all = await Promise.all(
    members.map(async (member) => {
      const files = FILES.flatMap((file) => {
        const text = member.inhabitant.kernel(file);
        return text === undefined ? [] : [[file, text] as const];
      });
      const key = `${member.node.name}/${member.name}`;
      return [key, { ...Object.fromEntries(files), ...(await ratesOf(member)) }] as const;
    }),
  );
  return Object.fromEntries(all);
}

interface LimitsShown {
  readonly limits: readonly {
    readonly fields: readonly { readonly field: string; readonly kernel?: unknown }[];
    readonly events: readonly { readonly what: string; readonly field: string }[];
  }[];
}

/** What netd says of a container. */
export async function limitsOf({ node, container }: Member): Promise<LimitsShown['limits'][number]> {
  const client = localClient(`${node.runDir}/netd.sock`);
  try {
    const { limits } = (await client.request('GET', `/v1/limits/${container.id}`)) as LimitsShown;
    return limits[0]!;
  } finally {
    client.close();
  }
}

async function ratesOf(member: Member): Promise<Record<string, string>> {
  const { fields } = await limitsOf(member);
  const rates = fields.filter(({ field, kernel }) => field.startsWith('net.') && kernel !== undefined);
  return Object.fromEntries(rates.map(({ field, kernel }) => [field, String(kernel)]));
}

/** CPU by its quota in the kernel, which a plan always sets. */
function isHeld({ inhabitant: { kernel } }: Member): boolean {
  const quota = kernel('cpu.cfs_quota_us') ?? kernel('cpu.max') ?? '';
  return Number.parseInt(quota, 10) > 0;
}

/** Waits until all of them are held to their quota, or none of them. @returns performance.now() of that moment */
export async function whenHeld(members: readonly Member[], held: boolean): Promise<number> {
  await until(`${members.length} containers are ${held ? '' : 'not '}held`, () =>
    members.every((one) => isHeld(one) === held),
  );
  return performance.now();
}

export interface Work {
  /** Bits a second that a container received, all together. */
  readonly bits: number;
  /** Cores that were used. */
  readonly cores: number;
}

/** What containers get done in a while. */
export async function workOf(members: readonly Member[], ms: number): Promise<Work> {
  const [before, begun] = [done(members), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, ms));
  const [after, seconds] = [done(members), (performance.now() - begun) / 1_000];
  return {
    bits: ((after.bytes - before.bytes) * 8) / seconds,
    cores: (after.cpuSeconds - before.cpuSeconds) / seconds,
  };
}

function done(members: readonly Member[]): { bytes: number; cpuSeconds: number } {
  let bytes = 0;
  let cpuSeconds = 0;
  for (const { inhabitant } of members) {
    const text = readFileSync(`/proc/${inhabitant.id.pid}/net/dev`, 'utf8');
    bytes += Number(/eth1: *(\d+)/.exec(text)?.[1]);
    const usage = inhabitant.kernel('cpuacct.usage');
    const stat = /usage_usec (\d+)/.exec(inhabitant.kernel('cpu.stat') ?? '')?.[1];
    cpuSeconds += usage === undefined ? Number(stat) / 1e6 : Number(usage) / 1e9;
  }
  return { bytes, cpuSeconds };
}

function clockFile({ runDir }: LabNode): string {
  return `${runDir}.clock`;
}

/** The clocks of a node's netd, ms beside the right ones. */
export function moveClock(
  node: LabNode,
  shift: { readonly wall?: number; readonly boot?: number; readonly bootId?: string },
): void {
  writeAtomically(clockFile(node), JSON.stringify(shift));
}
