/** Accounts without eBPF: to the byte what the containers' interfaces say, whoever is killed, and whichever plane counts next. */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { ethernetFrame } from '../../linux/frames.ts';
import { openNetns } from '../../linux/netns.ts';
import { openPacketSocket } from '../../linux/packet.ts';
import { type Argv, type Daemon, runOk, startDaemon } from '../../linux/process.ts';
import { type Ipv4, macOfAddress } from '../../model/addresses.ts';
import type { Side } from '../../model/endpoint.ts';
import { COUNTERS } from '../../model/usage.ts';
import type { ToldUsage, UsageAnswer } from '../../tagqueue/accounts/routes.ts';
import { killNow, processOf, until } from '../faults/crashes.ts';
import { ETHERTYPE, ipv4, udp } from '../frames.ts';
import { countersOf, IF_NAME } from '../support/rates.ts';

const NFQUEUE = { tagqueue: { plane: 'nfqueue' } } as const;
const KILLS = 5;
type Figures = Readonly<Record<(typeof COUNTERS)[number], number>>;

let lab: Lab;
let sender: LabContainer;
let neighbour: LabContainer;
let remote: LabContainer;
const servers: Daemon[] = [];

beforeAll(async () => {
  lab = await createLab({ prefix: 'nqacct', nodes: ['a', 'b'] });
  await lab.start(NFQUEUE);
  await lab.tenant('blue');
  [sender, neighbour, remote] = await Promise.all([
    lab.container('a', 'blue', 'c1'),
    lab.container('a', 'blue', 'c2'),
    lab.container('b', 'blue', 'c3'),
  ]);
  const { namespace, address } = lab.internet;
  for (const argv of [
    inside(neighbour.namespace, 'iperf3', '-s'),
    inside(remote.namespace, 'iperf3', '-s'),
    inside(namespace, 'iperf3', '-s', '-B', address),
  ])
    servers.push(await startDaemon(argv, {}));
}, 120_000);
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await lab?.close();
}, 60_000);

const inside = (namespace: string, ...argv: Argv): Argv => ['ip', 'netns', 'exec', namespace, ...argv];

const send = (to: Ipv4, bytes: number, ...options: string[]): Promise<string> =>
  runOk(inside(sender.namespace, 'iperf3', '-c', to, '-n', `${bytes}`, '-l', '1200', ...options), {
    timeoutMs: 20_000,
  });

async function traffic(): Promise<void> {
  await send(neighbour.internal, 2_000_000);
  await send(remote.internal, 1_000_000, '-b', '100M');
  await send(lab.internet.address, 1_000_000, '-b', '100M');
  await send(neighbour.internal, 600_000, '-u', '-b', '20M');
}

/** Frames with a source address that is not the container's. */
function sendRefused(count: number): number {
  using netns = openNetns(sender.netns);
  using socket = openPacketSocket(netns, IF_NAME.internal);
  const addresses = { source: '10.64.99.99' as Ipv4, destination: neighbour.internal };
  const [from, to] = [macOfAddress(sender.internal), macOfAddress(neighbour.internal)];
  const frame = ethernetFrame(from, to, ETHERTYPE.ipv4, ipv4(addresses, udp(1, 2, Buffer.alloc(100))));
  for (let i = 0; i < count; i++) socket.send(frame);
  return frame.length;
}

async function usage(): Promise<readonly ToldUsage[]> {
  const client = localClient(`${lab.node('a').runDir}/tagqueue.sock`);
  try {
    return ((await client.request('GET', '/v1/usage?by=endpoint')) as UsageAnswer).rows;
  } finally {
    client.close();
  }
}

async function counted({ id }: LabContainer, side: Side): Promise<Figures> {
  const row = (await usage()).find((one) => one.container === id && one.side === side);
  return Object.fromEntries(COUNTERS.map((name) => [name, Number(row?.[name] ?? 0)])) as Figures;
}

/** Both while nothing passes: asked until the interface says the same before and after. */
async function bothAtRest(container: LabContainer, side: Side): Promise<[Figures, Figures]> {
  let both: [Figures, Figures] | undefined;
  await until('the container is silent', async () => {
    const before = await countersOf(container.namespace, side);
    const now = await counted(container, side).catch(() => undefined);
    const after = await countersOf(container.namespace, side);
    if (now === undefined || JSON.stringify(before) !== JSON.stringify(after)) return false;
    both = [now, after];
    return true;
  });
  return both!;
}

it('counts what passes the fence, and nothing that does not, through deaths of tagqueue under traffic', async () => {
  const refused = 50;
  const refusedBytes = sendRefused(refused);
  let over = false;
  const flowing = (async (): Promise<number> => {
    let rounds = 0;
    for (; !over; rounds++) await send(neighbour.internal, 4_000_000, '-b', '100M');
    return rounds;
  })();
  for (let kill = 0; kill < KILLS; kill++) {
    await until('tagqueue tells', async () => (await usage().catch(() => undefined)) !== undefined);
    const before = processOf(lab.node('a'), 'tagqueue');
    await killNow(before);
    await until('another one is there', () =>
      Promise.resolve(processOf(lab.node('a'), 'tagqueue') !== before),
    );
  }
  over = true;
  expect(await flowing).toBeGreaterThan(0);
  await until('tagqueue tells', async () => (await usage().catch(() => undefined)) !== undefined);
  await traffic();

  for (const container of [sender, neighbour])
    for (const side of ['external', 'internal'] as const) {
      const [told, really] = await bothAtRest(container, side);
      const lost = container === sender && side === 'internal' ? refused : 0;
      expect({ container: container.id, side, ...told }).toEqual({
        ...{ container: container.id, side, ...really },
        sentBytes: really.sentBytes - lost * refusedBytes,
        sentPackets: really.sentPackets - lost,
      });
    }
  const { stdout } = await lab.node('a').sluice(['usage']);
  expect(stdout).toContain('blue');
}, 90_000);

it('keeps the last figures of a container that is removed while tagqueue is dead', async () => {
  const gone = await lab.container('a', 'blue', 'c9');
  await runOk(inside(gone.namespace, 'iperf3', '-c', neighbour.internal, '-n', '500000'));
  const [, really] = await bothAtRest(gone, 'internal');
  expect(really.sentBytes).toBeGreaterThan(500_000);
  await killNow(processOf(lab.node('a'), 'tagqueue'));
  await gone.remove();
  await until('tagqueue tells', async () => (await usage().catch(() => undefined)) !== undefined);
  expect(await counted(gone, 'internal')).toEqual(really);
}, 60_000);

it('goes on where the other plane has left off, and counts nothing twice', async () => {
  for (const plane of ['ebpf', 'nfqueue'] as const) {
    await lab.node('a').restart({ tagqueue: { plane } });
    await until('the plane is whole', async () => {
      const { ready } = JSON.parse((await lab.node('a').sluice(['status', '--json'])).stdout) as {
        ready: boolean;
      };
      return ready;
    });
    await send(neighbour.internal, 1_000_000);
    const [told, really] = await bothAtRest(neighbour, 'internal');
    // What passes while the planes change, ARP for one, is counted by none.
    expect(told.receivedBytes).toBeLessThanOrEqual(really.receivedBytes);
    expect(really.receivedBytes - told.receivedBytes).toBeLessThan(1_000);
  }
}, 90_000);
