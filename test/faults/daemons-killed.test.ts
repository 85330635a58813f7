/** F2: kill -9 of every daemon under traffic. What was allowed flows on, what was not is never let through. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { type Daemon, run, startDaemon } from '../../linux/process.ts';
import {
  type DaemonName,
  expectConsistent,
  killNow,
  processOf,
  report,
  supervisorOf,
  until,
  waitReady,
} from './crashes.ts';

const SECONDS = 6;
/** iperf3 reports twice a second; each line is a moment for the next death. */
const DEATHS: readonly [afterIntervals: number, name: string, node: string, daemon: DaemonName | 'up'][] = [
  [1, 'netd of the sender', 'a', 'netd'],
  [2, 'tagqueue of the sender', 'a', 'tagqueue'],
  [3, 'netd of the receiver', 'b', 'netd'],
  [4, 'tagqueue of the receiver', 'b', 'tagqueue'],
  [5, 'the server', 'a', 'server'],
  [7, 'sluice up of the receiver, with its daemons', 'b', 'up'],
  [8, 'sluice up of the sender, with its daemons', 'a', 'up'],
];

interface Interval {
  readonly bytes: number;
  readonly retransmits: number;
}

let lab: Lab;
let blueA: LabContainer;
let blueB: LabContainer;
let redA: LabContainer;
let redB: LabContainer;
let helpers: Daemon[] = [];

beforeAll(async () => {
  lab = await createLab({ prefix: 'faultrun', nodes: ['a', 'b'] });
  await lab.start();
  await lab.tenant('blue');
  await lab.tenant('red');
  [blueA, blueB, redA, redB] = await Promise.all([
    lab.container('a', 'blue', 'b1'),
    lab.container('b', 'blue', 'b2'),
    lab.container('a', 'red', 'r1'),
    lab.container('b', 'red', 'r2'),
  ]);
});
afterEach(async () => {
  for (const helper of helpers) await helper.stop();
  helpers = [];
});
afterAll(() => lab?.close());

type Command = readonly [string, ...string[]];
const inside = ({ namespace }: LabContainer, command: Command): Command => [
  'ip',
  'netns',
  'exec',
  namespace,
  ...command,
];

async function background(container: LabContainer, command: Command, logFile?: string): Promise<void> {
  helpers.push(await startDaemon(inside(container, command), logFile === undefined ? {} : { logFile }));
}

/** Everything that arrives at a container's internal interface, one line a packet. */
async function capture(container: LabContainer): Promise<() => string[]> {
  const logFile = `${lab.directory}/${container.id}.capture`;
  await background(container, ['tcpdump', '-n', '-l', '-i', 'eth1', '-Q', 'in'], logFile);
  await until('tcpdump listens', () => readFileSync(logFile, 'utf8').includes('listening on'));
  return () =>
    readFileSync(logFile, 'utf8')
      .split('\n')
      .filter((line) => / (IP|ARP)/.test(line));
}

const sentBy = (packets: readonly string[], sender: LabContainer): number =>
  packets.filter((line) => line.includes(` ${sender.internal} >`) || line.includes(`tell ${sender.internal}`))
    .length;

it('a transfer goes on and another tenant sees nothing of it while everything dies in turn', async () => {
  const captures = [await capture(redA), await capture(redB)];
  await background(blueB, ['iperf3', '-s']);
  const ping: Command = ['ping', '-i', '0.05'];
  await background(blueA, [...ping, redA.internal]);
  await background(blueA, [...ping, redB.internal]);
  await background(redA, [...ping, redB.internal]);
  await background(redB, [...ping, redA.internal]);

  const pending = [...DEATHS];
  const intervals = await transfer(async (count) => {
    while (pending[0] !== undefined && pending[0][0] <= count) {
      const [, , name, daemon] = pending.shift()!;
      const node = lab.node(name);
      await killNow(daemon === 'up' ? supervisorOf(node) : processOf(node, daemon));
    }
  });

  const stalled = intervals.filter(({ bytes }) => bytes === 0).length;
  const retransmits = intervals.reduce((sum, one) => sum + one.retransmits, 0);
  const foreign = captures.flatMap((packets) => packets()).length;
  const fromBlue = captures.map((packets) => sentBy(packets(), blueA));
  const survived = stalled === 0 && fromBlue.every((count) => count === 0) ? DEATHS.length : 0;
  const figures = `${intervals.length} intervals, ${stalled} empty, ${retransmits} retransmits, ${fromBlue.join(' and ')} packets of another tenant among ${foreign}`;
  report('F2 every daemon under traffic', DEATHS.length - pending.length, survived, figures);

  expect(pending).toEqual([]);
  expect(intervals.length).toBeGreaterThanOrEqual(2 * SECONDS);
  expect(stalled).toBe(0);
  expect(fromBlue).toEqual([0, 0]);
  // The captures do see what may pass: red's own pings from the other node.
  expect(sentBy(captures[0]!(), redB)).toBeGreaterThan(0);
  expect(sentBy(captures[1]!(), redA)).toBeGreaterThan(0);
});

it('everything comes back, and fences as before', async () => {
  await Promise.all(lab.nodes.map((node) => node.stop()));
  await lab.start();
  await expectConsistent(lab);
  expect(await answers(blueA, blueB)).toBe(true);
  expect(await answers(blueA, redB)).toBe(false);
  const late = await lab.container('b', 'blue', 'late');
  expect(await answers(blueA, late)).toBe(true);
  await late.remove();
});

it.each<DaemonName>(['netd', 'tagqueue', 'server'])(
  '%s alone is started again by its supervisor',
  async (daemon) => {
    const node = lab.node('a');
    const before = processOf(node, daemon);
    await killNow(before);
    await until(`${daemon} is back`, () => ![undefined, before].includes(processOf(node, daemon)));
    await waitReady(node);
    await expectConsistent(lab);
    expect(await answers(blueA, blueB)).toBe(true);
    report(`F2 ${daemon} killed`, 1, 1);
  },
);

/** One TCP stream from a to b. @param each  told how many intervals are over */
async function transfer(each: (intervals: number) => Promise<void>): Promise<Interval[]> {
  const command = [
    'iperf3',
    '-c',
    blueB.internal,
    '-C',
    'cubic',
    '-t',
    `${SECONDS}`,
    '-i',
    '0.5',
    '-f',
    'k',
    '--forceflush',
  ] as const;
  await until(
    'iperf3 listens',
    async () => (await run(inside(blueB, ['ss', '-Hltn', 'sport', '=', ':5201']))).stdout !== '',
  );
  const [program, ...args] = inside(blueA, command);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const intervals: Interval[] = [];
  for await (const line of createInterface(child.stdout)) {
    const [, bytes, retransmits] =
      /sec\s+([\d.]+) \w*Bytes\s+[\d.]+ \w+\/sec\s+(\d+)\s+[\d.]+ \w*Bytes/.exec(line) ?? [];
    if (bytes === undefined) continue;
    intervals.push({ bytes: Number(bytes), retransmits: Number(retransmits) });
    await each(intervals.length);
  }
  return intervals;
}

async function answers(from: LabContainer, to: LabContainer): Promise<boolean> {
  return (await run(inside(from, ['ping', '-c', '2', '-i', '0.2', '-W', '2', to.internal]))).code === 0;
}
