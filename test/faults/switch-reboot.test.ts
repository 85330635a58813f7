/** A node reboots while a switch is open: from what is on disk it holds it on, and ends it on time. And drift. */
import { isDeepStrictEqual } from 'node:util';
import { run } from '../../linux/process.ts';
import {
  attach,
  type Drill,
  type KernelValues,
  kernelValues,
  limitsOf,
  load,
  type Member,
  moveClock,
  openPeak,
  startDrill,
  whenHeld,
} from '../support/drill.ts';
import { report } from './crashes.ts';
import { reboot } from './power.ts';

const OPEN_MS = 20_000;
/** Full looks are five seconds apart. */
const REPAIRED_WITHIN_MS = 10_000;

let drill: Drill;
let before: KernelValues;

beforeAll(async () => {
  drill = await startDrill({ prefix: 'drillrbt', pairs: 3 });
  await whenHeld(drill.members, true);
  before = await kernelValues(drill.members);
}, 40_000);
afterAll(() => drill?.close());

it('goes on after a reboot of a node, and ends on time', async () => {
  const { lab } = drill;
  const node = lab.node('b');
  const begun = performance.now();
  await openPeak(lab, OPEN_MS);
  await whenHeld(drill.chosen, false);
  const gone = drill.members.filter((one) => one.node === node);
  for (const { inhabitant } of gone) await inhabitant.stop();
  await reboot(
    lab,
    node,
    gone.map(({ container }) => container),
  );
  // Time since boot begins anew.
  moveClock(node, { boot: -1e9, bootId: 'another' });
  await node.start({});
  const back = await Promise.all(gone.map(again));
  const members = drill.members.map(
    (one) => back.find(({ name }) => one.node === node && name === one.name) ?? one,
  );
  const [chosen, others] = [
    members.filter((one) => drill.chosen.some(({ name }) => name === one.name)),
    members.filter((one) => !drill.chosen.some(({ name }) => name === one.name)),
  ];
  await whenHeld(others, true);
  await whenHeld(chosen, false);
  const openAgainMs = performance.now() - begun;
  const endedMs = (await whenHeld(chosen, true)) - begun;
  report('a switch over a reboot', 1, 1, `ended ${(endedMs - OPEN_MS).toFixed(0)} ms after its time`);
  expect(openAgainMs).toBeLessThan(OPEN_MS);
  expect(endedMs).toBeGreaterThan(OPEN_MS - 250);
  // A second, and what a busy machine adds.
  expect(endedMs).toBeLessThan(OPEN_MS + 6_000);
  expect(await kernelValues(members)).toEqual(before);
}, 60_000);

/** As a runtime starts its containers after a reboot, under the same ids. */
async function again(one: Member): Promise<Member> {
  const container = await attach(drill.lab, one.node, one.tenant, one.app, one.name);
  const member = { ...one, container };
  const peer = drill.members.find(({ name, node }) => name === one.name && node !== one.node)!;
  return { ...member, inhabitant: await load(drill.lab, member, peer) };
}

it('what somebody else changes is found and repaired', async () => {
  const [one] = drill.members.filter(({ node }) => node.name === 'a');
  const { node } = one!;
  one!.inhabitant.change('pids.max', '7');
  const classes = await leaves(node.namespace);
  const victim = classes.find(({ rate }) => rate === '1Mbit')!;
  await run([
    'tc',
    '-n',
    node.namespace,
    'class',
    'change',
    ...victim.words,
    'htb',
    'rate',
    '5Mbit',
    'ceil',
    '5Mbit',
  ]);
  expect(await leaves(node.namespace)).not.toEqual(classes);
  const begun = performance.now();
  const wanted = { limits: picked(one!), classes };
  const found = async () => ({ limits: await kernelValues([one!]), classes: await leaves(node.namespace) });
  let last = await found();
  while (!isDeepStrictEqual(last, wanted) && performance.now() - begun < REPAIRED_WITHIN_MS)
    last = await found();
  expect(last).toEqual(wanted);
  const repairedMs = performance.now() - begun;
  report('limits changed by hand', 2, 2, `repaired within ${repairedMs.toFixed(0)} ms`);
  expect((await limitsOf(one!)).events).toContainEqual(
    expect.objectContaining({ what: 'drift', field: 'pids' }),
  );
}, 30_000);

function picked({ node, name }: Member): KernelValues {
  const key = `${node.name}/${name}`;
  return { [key]: before[key]! };
}

interface Leaf {
  /** As tc(8) names it. */
  readonly words: readonly string[];
  readonly rate: string;
}

/** Classes of all trees that limit a port. */
async function leaves(namespace: string): Promise<Leaf[]> {
  const { stdout: links } = await run(['ip', '-n', namespace, '-json', 'link', 'show', 'type', 'veth']);
  const found: Leaf[] = [];
  for (const { ifname } of JSON.parse(links) as { ifname: string }[]) {
    const { stdout } = await run(['tc', '-n', namespace, 'class', 'show', 'dev', ifname]);
    for (const line of stdout.split('\n')) {
      const [, id = '', parent = '', rate = ''] =
        /^class htb (\S+) parent (\S+) .*\brate (\S+)/.exec(line) ?? [];
      if (id !== '') found.push({ words: ['dev', ifname, 'parent', parent, 'classid', id], rate });
    }
  }
  return found;
}
