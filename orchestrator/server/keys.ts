/** What can be asked about keys, and done about them. The keys themselves go to nodes only (following.ts). */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import { epochOf, HeldKeys, type KeyGeneration, KeyReport, type KeyStanding } from '../../model/keys.ts';
import { NodeName } from '../../model/names.ts';
import { readRotation } from './key-state.ts';
import { type Cluster, type Operation, operation } from './operation.ts';
import type { Principal } from './principal.ts';
import { hasFollowed, type NodeKeys, type Rotation } from './rotation-plan.ts';
import { beginning } from './rotator.ts';

const PATH = '/v1/keys/rotation';

const show = operation({
  id: 'key.show',
  method: 'GET',
  path: PATH,
  summary: 'Tells generations, phase, and which node accepts and sends what. Holds no key.',
  answer: KeyReport,
  handle: async (cluster) => ({ json: await reportOf(cluster) }),
});

const rotate = operation({
  id: 'key.rotate',
  method: 'POST',
  path: PATH,
  summary: 'Begins a change of keys. It goes on by itself.',
  answer: KeyReport,
  status: 201,
  handle: async (cluster, { who }) => {
    const { store, mutate, now, rotator } = cluster;
    await mutate({ who, operation: 'key.rotate', subject: 'by order' }, async () => {
      const stored = await readRotation(store);
      if (stored.rotation.phase !== 'steady') throw underWay(stored.rotation);
      return beginning(stored, false, now(), undefined);
    });
    const begun = await reportOf(cluster);
    rotator.begun();
    return { json: begun };
  },
});

const acknowledge = operation({
  id: 'key.acknowledge',
  method: 'PUT',
  path: '/v1/nodes/:node/keys',
  summary: "Tells which keys a node's plane accepts and sends with, after it was told others.",
  params: z.strictObject({ node: NodeName }),
  body: HeldKeys,
  answer: z.undefined(),
  status: 204,
  handle: async ({ rotator }, { who, params: { node }, body }) => {
    if (!speaksFor(who, node)) throw notYours(node);
    rotator.presence.acknowledged(node, body);
    return { json: undefined };
  },
});

export const keyOperations: readonly Operation[] = [show, rotate, acknowledge];

async function reportOf({ store, rotator }: Cluster): Promise<KeyReport> {
  const { rotation } = await readRotation(store);
  const { current, phase, since, urgent, accepted, begun } = rotation;
  const named = (
    generation: KeyGeneration,
  ): { generation: KeyGeneration; epoch: ReturnType<typeof epochOf> } => ({
    generation,
    epoch: epochOf(generation),
  });
  const next = accepted.find(({ generation }) => generation > current);
  const { rotateEveryMs } = rotator.timing;
  return {
    ...named(current),
    phase,
    since,
    urgent,
    next: next === undefined ? null : named(next.generation),
    accepted: accepted.map(({ generation, madeAt }) => ({ ...named(generation), madeAt })),
    dueAt: rotateEveryMs === 0 ? null : begun + rotateEveryMs,
    nodes: (await rotator.nodes()).map((one) => ({
      node: one.node,
      standing: standingOf(one, rotation),
      held: one.held ?? null,
    })),
  };
}

function standingOf({ node, fenced, awayMs, held }: NodeKeys, rotation: Rotation): KeyStanding {
  if (fenced) return 'fenced';
  if (rotation.late.includes(node)) return 'late';
  if (awayMs > 0) return 'away';
  return hasFollowed(rotation, held) ? 'current' : 'behind';
}

/** On the server's own machine the node speaks as root. */
function speaksFor(who: Principal, node: NodeName): boolean {
  return who.role === 'root' || (who.role === 'node' && who.node === node);
}

function notYours(node: NodeName): SluiceError {
  return new SluiceError('refused', `these are the keys of node ${node}`, 'a node tells of itself only');
}

function underWay({ phase, accepted }: Rotation): SluiceError {
  const generation = accepted.at(-1)?.generation;
  return new SluiceError(
    'conflict',
    `a change to key generation ${generation} is under way (${phase})`,
    'wait for it: sluice key show',
  );
}
