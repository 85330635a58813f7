/** Kills daemons of a lab's node, at any moment or at a chosen point, and waits until the node is well again. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { CniOutcome } from '../../lab/cni.ts';
import { untilReady } from '../../lab/daemons.ts';
import type { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { writeAtomically } from '../../linux/files.ts';
import { identify, isAlive } from '../../linux/process.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { askNetd, endpointsOf } from '../cni/verbs-lab.ts';

export type DaemonName = 'server' | 'tagqueue' | 'netd' | 'storaged';

const failFile = ({ runDir }: LabNode): string => `${runDir}.fail-points`;

/** Makes a node's netd and server read fail points; before the node is started. */
export function letFail(node: LabNode): void {
  node.env['SLUICE_FAIL_POINTS'] = failFile(node);
}

/** From now on the daemon dies when it reaches the first point, then when it reaches the second, and so on. */
export function arm(node: LabNode, ...points: readonly string[]): void {
  writeAtomically(failFile(node), points.join('\n'));
}

/** Whether every point was reached. */
export const fired = (node: LabNode): boolean => !existsSync(failFile(node));

/** The process of `sluice up`. */
export function supervisorOf({ runDir }: LabNode): number {
  return (JSON.parse(readFileSync(`${runDir}/up.json`, 'utf8')) as { pid: number }).pid;
}

/** The process of one daemon: the child of `sluice up` that was started as it. */
export function processOf(node: LabNode, daemon: DaemonName): number | undefined {
  const up = String(supervisorOf(node));
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      const stat = readQuietly(`/proc/${pid}/stat`);
      const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return parent === up && readQuietly(`/proc/${pid}/cmdline`).includes(`\0${daemon}\0`);
    });
}

/** A process may end while we look. */
function readQuietly(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** kill -9; returns when the process is gone. */
export async function killNow(pid: number | undefined): Promise<void> {
  const victim = pid === undefined ? undefined : identify(pid);
  if (victim === undefined) throw new Error('there is no such process to kill');
  process.kill(victim.pid, 'SIGKILL');
  await until(`process ${victim.pid} is gone`, () => !isAlive(victim));
}

/** A supervisor waits up to 5 s before it starts a daemon again that keeps dying. */
const PATIENCE_MS = 25_000;

/** Waits until something holds, for at most 25 seconds. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Calls as a runtime does that was told to try again (code 11), until the answer is another. */
export async function retried(call: () => Promise<CniOutcome>): Promise<CniOutcome> {
  let outcome: CniOutcome | undefined;
  await until('netd answers again', async () => {
    outcome = await call();
    return outcome.json?.['code'] !== 11;
  });
  return outcome!;
}

export async function waitReady(node: LabNode): Promise<void> {
  if (await untilReady(node.runDir, { withinMs: PATIENCE_MS })) return;
  const { stdout, stderr } = await node.sluice(['status']);
  throw new Error(`node ${node.name} did not come back: ${stdout}${stderr}`);
}

/** The records agree with the kernel, and no two containers of the lab hold one address. */
export async function expectConsistent(lab: Lab): Promise<void> {
  const endpoints: Endpoint[] = [];
  for (const node of lab.nodes) {
    const own = await endpointsOf(node);
    const report = await askNetd<object>(node, 'POST', '/v1/reconcile');
    expect({ node: node.name, ...report }).toEqual({
      ...{ node: node.name, adopted: own.length, repaired: [], removed: [], failed: [] },
    });
    endpoints.push(...own);
  }
  const addresses = endpoints.flatMap(({ nics }) => nics.map(({ address }) => address));
  expect(new Set(addresses).size).toBe(addresses.length);
}

/** One line of the table of faults. */
export function report(fault: string, tried: number, survived: number, more = ''): void {
  process.stdout.write(`  ${fault.padEnd(34)} tried ${tried}, survived ${survived}${more && `; ${more}`}\n`);
}

/** What a daemon says once it is there again. @param ask  asked again until it answers so, for 15 s at most */
export async function answered<T>(
  ask: () => Promise<T>,
  holds: (answer: T) => boolean = () => true,
): Promise<T> {
  const end = performance.now() + 15_000;
  for (;;) {
    const answer = await ask().catch((error: unknown) => error as Error);
    if (!(answer instanceof Error) && holds(answer)) return answer;
    if (performance.now() > end) throw new Error('it did not come about', { cause: answer });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
