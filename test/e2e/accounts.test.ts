/** Accounts to the byte: tagqueue dies a hundred times under traffic, and the books say what the kernel's interfaces say. */

import { thisCheckout } from '../../lab/checkout.ts';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { UPLINK } from '../../lab/topology.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { type BpfMap, pinnedMap } from '../../linux/bpf.ts';
import { ethernetFrame } from '../../linux/frames.ts';
import { openNetns } from '../../linux/netns.ts';
import { openPacketSocket } from '../../linux/packet.ts';
import { type Argv, type Daemon, run, runOk, startDaemon } from '../../linux/process.ts';
import { type Ipv4, macOfAddress } from '../../model/addresses.ts';
import type { Side } from '../../model/endpoint.ts';
import { openUsageStore } from '../../store/usage.ts';
import { createCollector } from '../../tagqueue/accounts/collector.ts';
import { countingKernel } from '../../tagqueue/accounts/kernel.ts';
import { usageFileOf } from '../../tagqueue/accounts/open.ts';
import type { ToldUsage, UsageAnswer } from '../../tagqueue/accounts/routes.ts';
import { tagqueueSocketOf } from '../../tagqueue/main.ts';
import type { MapName } from '../../tagqueue/maps.ts';
import { mapPin, pinDirectoryOf } from '../../tagqueue/pins.ts';
import { killNow, until } from '../faults/crashes.ts';
import { ETHERTYPE, ipv4, udp } from '../frames.ts';

const KILLS = 100;
const REFUSED = { packets: 50, bytes: 50 * 142 };
const IF_NAME = { external: 'eth0', internal: 'eth1' } as const satisfies Record<Side, string>;

let lab: Lab;
let a: LabNode;
let sender: LabContainer;
let neighbour: LabContainer;
let remote: LabContainer;
let leaving: LabContainer;
let daemons: Daemon[] = [];
let api: ApiClient;

beforeAll(async () => {
  lab = await createLab({ prefix: 'acct', nodes: ['a', 'b'] });
  await lab.start();
  await lab.tenant('blue');
  a = lab.node('a');
  [sender, neighbour, leaving, remote] = await Promise.all([
    lab.container('a', 'blue', 'c1'),
    lab.container('a', 'blue', 'c2'),
    lab.container('a', 'blue', 'c3'),
    lab.container('b', 'blue', 'c4'),
  ]);
  api = localClient(tagqueueSocketOf(a.runDir));
  // From here on its daemons are ours, one by one.
  await a.stop();
});
afterAll(async () => {
  await endAll();
  api?.close();
  await lab?.close();
});

async function endAll(): Promise<void> {
  await Promise.all(daemons.splice(0).map((daemon) => daemon.stop()));
}

async function start(
  argv: Argv,
  options: { env?: NodeJS.ProcessEnv; logFile?: string } = {},
): Promise<Daemon> {
  const daemon = await startDaemon(argv, options);
  daemons.push(daemon);
  return daemon;
}

function startRole(role: 'tagqueue' | 'netd'): Promise<Daemon> {
  const sluice = [thisCheckout().sluice, role, '--node', a.name, '--uplink', UPLINK] as const;
  return start(['nsenter', `--net=${a.netns}`, '--', ...sluice], { env: a.env, logFile: a.logFile });
}

const inside = (namespace: string, ...argv: Argv): Argv => ['ip', 'netns', 'exec', namespace, ...argv];

const usageOf = async (by: string, client = api): Promise<readonly ToldUsage[]> =>
  ((await client.request('GET', `/v1/usage?by=${by}`)) as UsageAnswer).rows;

const total = (rows: readonly ToldUsage[]): bigint =>
  rows.reduce((sum, row) => sum + BigInt(row.sentBytes) + BigInt(row.receivedBytes), 0n);

/** Bytes of payload by the side of the sender's that they went through. */
const payload: Record<Side, bigint> = { external: 0n, internal: 0n };

/** Sends just so many bytes from a container with iperf3. */
async function send(
  from: LabContainer,
  side: Side,
  to: Ipv4,
  protocol: 'tcp' | 'udp',
  port = 5201,
): Promise<void> {
  const [block, bytes, rate] = protocol === 'tcp' ? [131_072, 4_194_304, '200M'] : [1_200, 1_200_000, '40M'];
  const client: Argv = [
    'iperf3',
    '-c',
    to,
    '-p',
    `${port}`,
    '-n',
    `${bytes}`,
    '-l',
    `${block}`,
    '-b',
    rate,
    '--connect-timeout',
    '5000',
  ];
  await runOk(inside(from.namespace, ...client, ...(protocol === 'udp' ? ['-u'] : [])), {
    timeoutMs: 20_000,
  });
  if (from === sender) payload[side] += BigInt(bytes);
}

const ROUNDS: readonly (() => Promise<void>)[] = [
  () => send(sender, 'internal', neighbour.internal, 'tcp'),
  () => send(sender, 'internal', remote.internal, 'tcp'),
  () => send(sender, 'external', lab.internet.address, 'tcp'),
  () => send(sender, 'internal', neighbour.internal, 'udp'),
  () => send(sender, 'internal', remote.internal, 'udp'),
  () => send(sender, 'external', lab.internet.address, 'udp'),
];

interface Interface {
  readonly sentBytes: number;
  readonly sentPackets: number;
  readonly receivedBytes: number;
  readonly receivedPackets: number;
}

/** Ends all traffic of a container and reads its interfaces' counters (struct rtnl_link_stats64). */
async function finalCounters({ namespace }: LabContainer): Promise<Record<Side, Interface>> {
  for (const ifName of Object.values(IF_NAME))
    await runOk(['ip', '-n', namespace, 'link', 'set', ifName, 'down']);
  const read = async (ifName: string): Promise<Interface> => {
    const [link] = JSON.parse(await runOk(['ip', '-n', namespace, '-j', '-s', 'link', 'show', ifName])) as [
      { stats64: Record<'rx' | 'tx', { bytes: number; packets: number }> },
    ];
    const { rx, tx } = link.stats64;
    return {
      sentBytes: tx.bytes,
      sentPackets: tx.packets,
      receivedBytes: rx.bytes,
      receivedPackets: rx.packets,
    };
  };
  return { external: await read('eth0'), internal: await read('eth1') };
}

/** Frames with a source address that is not the container's: the fence refuses every one of them. */
function sendRefused(): void {
  using netns = openNetns(sender.netns);
  using socket = openPacketSocket(netns, 'eth1');
  const body = ipv4(
    { source: '10.64.99.99' as Ipv4, destination: neighbour.internal },
    udp(1, 2, Buffer.alloc(100)),
  );
  const mac = macOfAddress(sender.internal);
  const frame = ethernetFrame(mac, macOfAddress(neighbour.internal), ETHERTYPE.ipv4, body);
  expect(frame.length * REFUSED.packets).toBe(REFUSED.bytes);
  for (let i = 0; i < REFUSED.packets; i++) socket.send(frame);
}

async function refusedSoFar(): Promise<number> {
  const { drops } = (await api.request('GET', '/v1/drops')) as {
    drops: { reason: string; packets: number }[];
  };
  return drops.find(({ reason }) => reason === 'source_ip')?.packets ?? 0;
}

const counted = (row: ToldUsage | undefined): Interface => ({
  sentBytes: Number(row?.sentBytes),
  sentPackets: Number(row?.sentPackets),
  receivedBytes: Number(row?.receivedBytes),
  receivedPackets: Number(row?.receivedPackets),
});

const rowOf = (rows: readonly ToldUsage[], { id }: LabContainer, side: Side): ToldUsage | undefined =>
  rows.find((row) => row.container === id && row.side === side);

/** One life of tagqueue; @returns whether it got as far as telling. */
async function lifeAndDeath(round: number, told: { total: bigint }): Promise<boolean> {
  const daemon = await startRole('tagqueue');
  daemons = daemons.filter((one) => one !== daemon);
  let answered = false;
  // Every other one dies wherever it has got to by then, most of them before they tell anything.
  const early = round % 2 === 1;
  const deadline = early
    ? new Promise<void>((resolve) => setTimeout(resolve, (round * 37) % 500))
    : undefined;
  let dead = false;
  const ready = until('tagqueue tells', async () => {
    if (dead) return true;
    const rows = await usageOf('tenant').catch(() => undefined);
    if (rows === undefined) return false;
    answered = true;
    const now = total(rows);
    expect(now).toBeGreaterThanOrEqual(told.total);
    told.total = now;
    return true;
  });
  await (early ? Promise.race([deadline, ready]) : ready);
  // It dies while it collects, or close to it.
  const last = usageOf('hour').catch(() => undefined);
  if (!early) await new Promise((resolve) => setTimeout(resolve, round % 8));
  await killNow(daemon.id.pid);
  dead = true;
  await Promise.all([last, ready]);
  return answered;
}

it('is exact through a hundred deaths of tagqueue, with a container gone in between', async () => {
  for (const { namespace } of [neighbour, remote]) await start(inside(namespace, 'iperf3', '-s'));
  const { namespace, address } = lab.internet;
  await start(inside(namespace, 'iperf3', '-s', '-B', address));
  await start(inside(remote.namespace, 'iperf3', '-s', '-p', '5202'));
  const first = await startRole('tagqueue');
  await startRole('netd');
  await until('tagqueue tells', async () => (await usageOf('tenant').catch(() => undefined)) !== undefined);
  await killNow(first.id.pid);

  let over = false;
  const traffic = (async (): Promise<number> => {
    let rounds = 0;
    for (; !over; rounds++) await ROUNDS[rounds % ROUNDS.length]!();
    return rounds;
  })();
  const told = { total: 0n };
  let answered = 0;
  let gone: Record<Side, Interface> | undefined;
  const begin = performance.now();
  for (let round = 0; round < KILLS; round++) {
    if (await lifeAndDeath(round, told)) answered += 1;
    if (round === 20) await send(leaving, 'internal', remote.internal, 'udp', 5202);
    if (round === 50) {
      gone = await finalCounters(leaving);
      await leaving.remove();
    }
  }
  const seconds = (performance.now() - begin) / 1_000;
  over = true;
  const runs = await traffic;

  const daemon = await startRole('tagqueue');
  await until('tagqueue tells', async () => (await usageOf('tenant').catch(() => undefined)) !== undefined);
  const before = await refusedSoFar();
  sendRefused();
  expect((await refusedSoFar()) - before).toBe(REFUSED.packets);

  const rows = await (async () => {
    const finals = await Promise.all([
      finalCounters(sender),
      finalCounters(neighbour),
      finalCounters(remote),
    ]);
    const told = await usageOf('endpoint');
    const client = localClient(tagqueueSocketOf(lab.node('b').runDir));
    const far = await usageOf('endpoint', client);
    client.close();
    return [
      { container: sender, kernel: finals[0], rows: told },
      { container: neighbour, kernel: finals[1], rows: told },
      { container: leaving, kernel: gone!, rows: told },
      { container: remote, kernel: finals[2], rows: far },
    ];
  })();
  const lines = rows.flatMap(({ container, kernel, rows: told }) =>
    (['external', 'internal'] as const).map((side) => {
      const refused = container === sender && side === 'internal' ? REFUSED : { packets: 0, bytes: 0 };
      const wanted: Interface = {
        ...kernel[side],
        sentBytes: kernel[side].sentBytes - refused.bytes,
        sentPackets: kernel[side].sentPackets - refused.packets,
      };
      return { name: `${container.id} ${side}`, wanted, got: counted(rowOf(told, container, side)), refused };
    }),
  );
  process.stdout.write(
    `  accounts: ${KILLS} × kill -9 in ${seconds.toFixed(1)} s, ${answered} of them after an answer; ${runs} transfers of ${payload.internal + payload.external} bytes\n`,
  );
  for (const { name, wanted, got, refused } of lines) {
    const difference = got.sentBytes + got.receivedBytes - wanted.sentBytes - wanted.receivedBytes;
    process.stdout.write(
      `  ${name.padEnd(20)} sent ${got.sentBytes} B in ${got.sentPackets}, received ${got.receivedBytes} B in ${got.receivedPackets}; refused ${refused.bytes} B; difference to the interface ${difference}\n`,
    );
  }
  for (const { name, wanted, got } of lines) expect({ name, ...got }).toEqual({ name, ...wanted });
  for (const side of ['internal', 'external'] as const) {
    const sent = BigInt(rowOf(rows[0]!.rows, sender, side)?.sentBytes ?? 0);
    expect(sent).toBeGreaterThan(payload[side]);
  }
  expect(gone?.internal.sentBytes).toBeGreaterThan(1_200_000);
  expect(answered).toBeGreaterThanOrEqual(KILLS / 2);
  // By tenant and by hour it is the same sum.
  const sum = total(await usageOf('endpoint'));
  expect(total(await usageOf('tenant'))).toBe(sum);
  expect(total(await usageOf('hour'))).toBe(sum);
  await daemon.stop();
}, 150_000);

it('lets an account go out of the kernel once its figures are written down, and keeps the figures', async () => {
  await endAll();
  using maps = new DisposableStack();
  const open = (name: MapName): BpfMap =>
    maps.use(pinnedMap(mapPin(pinDirectoryOf(a.runDir, a.name), name))!);
  const kernel = countingKernel(open);
  const collector = createCollector({
    kernel,
    openBooks: () => openUsageStore(usageFileOf(a.stateDir)),
    ...{ keepDays: undefined, graceMs: 0, now: Date.now, uptime: () => performance.now() },
  });
  const before = collector.totals();
  // Its two interfaces: the others are bound.
  expect(kernel.read().counters.size).toBe(6);
  collector.collect();
  expect(kernel.read().counters.size).toBe(4);
  expect(kernel.read().named.size).toBe(4);
  collector.collect();
  expect(collector.totals()).toEqual(before);
  collector.close();
});

it('is told by the command, by tenant name and in figures that add up', async () => {
  await a.restart();
  const { stdout } = await a.sluice([
    'usage',
    '--tenant',
    'blue',
    '--from',
    'yesterday',
    '--by',
    'endpoint',
    '--json',
  ]);
  const answer = JSON.parse(stdout) as { rows: (ToldUsage & { tenant: string })[] };
  expect(answer.rows.every(({ tenant }) => tenant === 'blue')).toBe(true);
  expect(rowOf(answer.rows, leaving, 'internal')).toBeDefined();
  expect((await a.sluice(['usage'])).stdout).toMatch(/^TENANT +SIDE +SENT.*\nblue +internal +[\d.]+ [KMG]iB/);
  const none = await a.sluice(['usage', '--tenant', 'nobody']);
  expect(none.code).toBe(4);
  const metrics = (await run(['curl', '-s', '--unix-socket', tagqueueSocketOf(a.runDir), 'http://-/metrics']))
    .stdout;
  expect(metrics).toMatch(
    /^sluice_usage_bytes_total\{tenant="blue",side="internal",direction="sent"\} \d+$/m,
  );
});

it('has what was counted while no daemon ran, up to the moment in which the plane is taken down', async () => {
  const last = await lab.container('a', 'blue', 'c5');
  await a.stop();
  await runOk(inside(last.namespace, 'ping', '-c', '20', '-i', '0.01', '-q', lab.internet.address));
  const kernel = await finalCounters(last);
  expect((await a.sluice(['down', '--yes'])).code).toBe(0);
  const books = openUsageStore(usageFileOf(a.stateDir));
  const { rows } = books.sum({ by: 'endpoint', from: 0, to: Date.now(), tag: undefined, limit: 100 });
  books.close();
  const row = rows.find(({ container, side }) => container === last.id && side === 'external');
  expect({ sent: Number(row?.sentBytes), received: Number(row?.receivedBytes) }).toEqual({
    sent: kernel.external.sentBytes,
    received: kernel.external.receivedBytes,
  });
  expect(kernel.external.sentPackets).toBeGreaterThanOrEqual(20);
});
