/** P8.client: a container's Gluster client is killed; for how long its path does not work. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { findClients } from '../../linux/gluster-client.ts';
import { layersAt } from '../../linux/host-points.ts';
import { type Daemon, startDaemon } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';
import { until } from '../../test/runtimes/until.ts';
import { mount, typed } from '../../test/support/storage-lab.ts';
import type { Measurement } from '../rows.ts';
import { median, rounded } from '../statistics.ts';
import type { SuiteContext } from '../suite.ts';

const TENANT = 'blue';
const VOLUME = 'shared';
const KILLS = 20;
/** A client that dies again and again is replaced less and less eagerly: each of these dies only five times. */
const CONTAINERS = 4;
const GIVE_UP_MS = 20_000;
const POLL_MS = 2;
const PROOF = 'proof';

/** A mount namespace that has the volume as a runtime binds it, with propagation rslave. */
const CONTAINER = 'mount --bind "$1" "$2"; exec sleep infinity';

interface Inhabited {
  readonly process: Daemon;
  /** The container's file, as it is called outside. */
  readonly file: string;
  /** Where the host has it: the client is found by it. */
  readonly hostPath: string;
}

export async function measureClient(context: SuiteContext): Promise<Measurement[]> {
  if (!context.wanted.has('P8.client.median') && !context.wanted.has('P8.client.worst')) return [];
  const { progress, signal } = context;
  const lab = await createLab({ prefix: 'slbvcl', nodes: ['a'] });
  const inhabited: Inhabited[] = [];
  try {
    progress(`P8.client starting a node with a volume in ${CONTAINERS} containers`);
    const node = lab.node('a');
    await node.start();
    await lab.tenant(TENANT);
    await typed(node, 'volume', 'create', VOLUME, '--tenant', TENANT, '--size', '1GiB', '--thin');
    for (let index = 0; index < CONTAINERS; index += 1)
      inhabited.push(await inhabit(lab, await lab.container('a', TENANT, `c${index}`)));
    const times: number[] = [];
    for (let kill = 0; kill < KILLS; kill += 1) {
      signal.throwIfAborted();
      const one = inhabited[kill % CONTAINERS];
      if (one === undefined) throw new RangeError('there are containers');
      times.push(await killedFor(one));
    }
    progress(`P8.client ${KILLS} kills: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    return measurementsOf(times).filter(({ id }) => context.wanted.has(id));
  } finally {
    await Promise.allSettled(inhabited.map((one) => one.process.stop()));
    await lab.close();
  }
}

async function inhabit(lab: Lab, container: LabContainer): Promise<Inhabited> {
  const { hostPath } = await mount(lab.node('a'), VOLUME, container);
  writeFileSync(`${hostPath}/${PROOF}`, PROOF);
  const at = `${lab.directory}/${container.id}`;
  mkdirSync(at, { recursive: true });
  const process = await startDaemon([
    ...(['unshare', '--mount', '--propagation', 'slave'] as const),
    ...['sh', '-euc', CONTAINER, 'sh', hostPath, at],
  ]);
  const file = `/proc/${process.id.pid}/root${at}/${PROOF}`;
  await until('the container has the volume', () => deviceOf(file) !== undefined);
  return { process, file, hostPath };
}

/** @returns ms from the kill until the container reads its file from another client */
async function killedFor({ file, hostPath }: Inhabited): Promise<number> {
  const before = deviceOf(file);
  const top = layersAt(hostPath).at(-1);
  const clients = findClients((source) => source === top?.source);
  const victim = clients.find(({ live }) => live?.device === top?.device);
  if (before === undefined || victim === undefined) throw failed('there is no client to kill');
  const killed = performance.now();
  process.kill(victim.id.pid, 'SIGKILL');
  while (performance.now() < killed + GIVE_UP_MS) {
    const now = deviceOf(file);
    if (now !== undefined && now !== before && isThere(file)) return performance.now() - killed;
    await sleep(POLL_MS);
  }
  throw failed(`the path did not come back within ${GIVE_UP_MS / 1_000} s`);
}

/** Each client's file system has a number of its own. */
function deviceOf(file: string): number | undefined {
  try {
    return statSync(file).dev;
  } catch {
    return undefined;
  }
}

function isThere(file: string): boolean {
  try {
    return readFileSync(file, 'utf8') === PROOF;
  } catch {
    return false;
  }
}

function measurementsOf(times: readonly number[]): Measurement[] {
  const all = { rounds: times, baseline: undefined, details: { kills: times.map((ms) => rounded(ms)) } };
  const [middle, worst] = [median(times), Math.max(...times)];
  return [
    { id: 'P8.client.median', value: middle, ours: middle, ...all },
    { id: 'P8.client.worst', value: worst, ours: worst, ...all },
  ];
}

function failed(what: string): SluiceError {
  return new SluiceError('check_failed', `P8.client: ${what}`, "see the node's log");
}
