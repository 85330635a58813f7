/** F1: netd killed with kill -9 at every step of ADD and DEL. No leak, no double address, kernel equals records. */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { run } from '../../linux/process.ts';
import { STAGES } from '../../netd/endpoint-plan.ts';
import {
  cniErrorOf,
  inside,
  residue,
  type Sandbox,
  type VerbsLab,
  verbsOn,
  type Wish,
} from '../cni/verbs-lab.ts';
import { arm, expectConsistent, fired, letFail, report, retried, waitReady } from './crashes.ts';

const ADD_POINTS = ['add:admitted', ...STAGES.map((stage) => `add:${stage}`), 'add:ready'];
const DEL_POINTS = [
  'del:recorded',
  'del:unpublished',
  'del:unbound',
  'del:unlinked',
  'del:forgotten',
  'del:released',
];
const WISH: Wish = {
  runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'udp' }] },
};

let lab: Lab;
/** Three nodes, so that three ways to go on after the crash are tried at once. */
let nodes: readonly { readonly verbs: VerbsLab; readonly node: LabNode; readonly peer: LabContainer }[];

beforeAll(async () => {
  lab = await createLab({ prefix: 'faultadd', nodes: ['a', 'b', 'c'] });
  for (const node of lab.nodes) letFail(node);
  await lab.start();
  await lab.tenant('blue');
  nodes = await Promise.all(
    lab.nodes.map(async (node) => ({
      node,
      verbs: verbsOn(lab, node),
      peer: await lab.container(node.name, 'blue', 'peer'),
    })),
  );
});
afterAll(() => lab?.close());

/** What happens after the crash. @returns whether the container is attached then */
type GoOn = (verbs: VerbsLab, sandbox: Sandbox, point: string) => Promise<boolean>;

/** As runtimes do: clean up behind the failure, then try again. */
const delThenAdd: GoOn = async (verbs, sandbox) => {
  expect(await retried(() => verbs.cni('DEL', sandbox, WISH))).toEqual({ code: 0, json: undefined });
  expect(await retried(() => verbs.cni('ADD', sandbox, WISH))).toMatchObject({ code: 0 });
  return true;
};

/** A container that was ready when netd died is attached: only its runtime did not hear of it. */
const addAtOnce: GoOn = async (verbs, sandbox, point) => {
  const outcome = await retried(() => verbs.cni('ADD', sandbox, WISH));
  if (point === 'add:ready') expect(outcome).toEqual(cniErrorOf(105, sandbox.id));
  else expect(outcome).toMatchObject({ code: 0 });
  return true;
};

/** The runtime died as well: netd alone finishes or undoes what was begun. */
const nobodyCalls: GoOn = async (verbs, sandbox, point) => {
  await waitReady(verbs.node);
  expect((await verbs.recorded(sandbox)).map(({ phase }) => phase)).toEqual(
    point === 'add:ready' ? ['ready'] : [],
  );
  return point === 'add:ready';
};

const WAYS_ON = [delThenAdd, addAtOnce, nobodyCalls];

describe('netd dies in ADD', () => {
  it.each(ADD_POINTS)('at %s', async (point) => {
    const tries = WAYS_ON.map((goOn, index) => survives(nodes[index]!, [point], goOn, 'ADD'));
    await settled(point, tries);
  });

  it.each([
    ['add:configure', 'del:unlinked'],
    ['add:publish', 'del:unpublished'],
  ])('at %s, and again at %s while it cleans up', async (...points) => {
    const tries = WAYS_ON.map((goOn, index) => survives(nodes[index]!, points, goOn, 'ADD'));
    await settled(points.join(' '), tries);
  });
});

describe('netd dies in DEL', () => {
  it.each(DEL_POINTS)('at %s', async (point) => {
    const tries = WAYS_ON.map((goOn, index) => survives(nodes[index]!, [point], goOn, 'DEL'));
    await settled(point, tries);
  });
});

/** Dies at the points, goes on, and ends as if nothing had been. */
async function survives(
  { node, verbs, peer }: (typeof nodes)[number],
  points: readonly string[],
  goOn: GoOn,
  verb: 'ADD' | 'DEL',
): Promise<void> {
  const before = await residue(node);
  const sandbox = await verbs.sandbox();
  if (verb === 'DEL') await verbs.done('ADD', sandbox, WISH);
  arm(node, ...points);
  expect(await verbs.cni(verb, sandbox, WISH)).toEqual(cniErrorOf(11, 'netd'));
  const attached = await goOn(verbs, sandbox, points[0]!);
  expect(fired(node)).toBe(true);

  if (attached) {
    await verbs.done('CHECK', sandbox, WISH);
    expect(await reaches(sandbox, peer)).toBe(true);
    await verbs.done('DEL', sandbox, WISH);
  }
  expect(await residue(node)).toEqual(before);
  expect(await inside(sandbox)).toEqual([]);
}

async function settled(point: string, tries: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(tries);
  const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
  report(`F1 netd killed at ${point}`, outcomes.length, outcomes.length - failed.length);
  for (const { reason } of failed) throw reason;
  await expectConsistent(lab);
}

async function reaches({ namespace }: Sandbox, { internal }: LabContainer): Promise<boolean> {
  return (await run(['ip', 'netns', 'exec', namespace, 'ping', '-c', '1', '-W', '2', internal])).code === 0;
}
