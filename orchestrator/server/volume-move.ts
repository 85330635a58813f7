/** Moves bricks from one storage node to another: from one that is gone for good, or that is to leave. */
import { SluiceError } from '../../model/errors.ts';
import type { NodeName } from '../../model/names.ts';
import { type Brick, replicaSetsOf, type Volume } from '../../model/volume.ts';
import { MoveWish, VolumeShown } from '../../model/volume-request.ts';
import { type Cluster, type Operation, operation } from './operation.ts';
import { change, mustBeReady, stillGrowing } from './volume-changes.ts';
import { inWords, type Place } from './volume-placement.ts';
import { imageOf } from './volume-rooms.ts';
import { allVolumes, growthOf } from './volume-store.ts';
import { Meant, storagePlaces } from './volumes.ts';

const move = operation({
  id: 'volume.move',
  method: 'POST',
  path: '/v1/volumes/:id/move',
  summary:
    'Moves what a storage node has of a volume to another, where it is made anew from the other copies.',
  ...Meant,
  body: MoveWish,
  answer: VolumeShown,
  handle: async (cluster, request) => {
    const { body } = request;
    return change(cluster, request, 'volume.move', 'moved', async (one) => {
      mustBeReady(one);
      if ((await growthOf(cluster.store, one.id)) !== undefined) throw stillGrowing(one);
      checkCopies(one, body.from, cluster);
      const all = (await allVolumes(cluster.store)).map((kept) => kept.one);
      const bricks = movedBricks(one, body, await storagePlaces(cluster, one, all));
      const stays = bricks.find(({ node }, i) => node === one.bricks[i]?.node && isHeard(cluster, node));
      const coordinator = one.coordinator === body.from && stays ? stays.node : one.coordinator;
      return { after: { ...one, bricks, coordinator, generation: one.generation + 1 } };
    });
  },
});

export const volumeMoveOperations: readonly Operation[] = [move];

/**
 * What is moved begins empty, and only the other copies know what belongs there.
 * @throws SluiceError `not_found`, `refused`, `not_ready`
 */
function checkCopies(one: Volume, from: NodeName, cluster: Cluster): void {
  const { storage } = cluster;
  const sets = replicaSetsOf(one).filter((set) => set.some(({ node }) => node === from));
  if (sets.length === 0) throw hasNone(one, from);
  if (one.layout === 'single') throw isOnlyCopy(one);
  const coordinator = storage.node(one.coordinator);
  const report = coordinator?.reachable === true ? coordinator.volumes.get(one.id) : undefined;
  if (report === undefined) throw notKnown(one, 'how its bricks are is not known');
  const serves = (brick: Brick): boolean =>
    report.online[one.bricks.indexOf(brick)] === true && isHeard(cluster, brick.node);
  for (const set of sets)
    if (!set.some((brick) => brick.node !== from && brick.role === 'data' && serves(brick)))
      throw notKnown(one, 'no other copy serves of what lies there');
  if ((report.heal?.splitBrain ?? 0) > 0) throw contradicts(one);
  // What the others have missed, it alone may know.
  const isAlive = one.bricks.some((brick) => brick.node === from && serves(brick));
  if (isAlive && report.heal?.pending !== 0) throw notKnown(one, 'its copies are not the same yet');
}

/** Pure. @throws SluiceError `refused` */
export function movedBricks(one: Volume, { from, to }: MoveWish, places: readonly Place[]): Brick[] {
  const left = new Map(places.map(({ node, room }) => [node, room]));
  const sets = replicaSetsOf(one);
  return one.bricks.map((brick, index) => {
    if (brick.node !== from) return brick;
    const image = imageOf(one, index);
    const others = sets.find((set) => set.includes(brick))?.filter((other) => other !== brick) ?? [];
    const zones = new Set(
      places.filter((place) => holds(others, place.node)).flatMap(({ zone }) => zone ?? []),
    );
    const shares = ({ zone }: Place): number => (zone !== null && zones.has(zone) ? 1 : 0);
    const roomOf = ({ node }: Place): number => left.get(node) ?? 0;
    const [best] = places
      .filter(({ node }) => node !== from && (to === undefined || node === to) && !holds(others, node))
      .filter((place) => roomOf(place) >= image)
      .sort((a, b) => shares(a) - shares(b) || roomOf(b) - roomOf(a) || (a.node < b.node ? -1 : 1));
    if (best === undefined) throw nowhere(one, index, image, to);
    left.set(best.node, roomOf(best) - image);
    return { ...brick, node: best.node, address: best.address };
  });
}

function holds(bricks: readonly Brick[], node: NodeName): boolean {
  return bricks.some((brick) => brick.node === node);
}

function isHeard({ storage }: Pick<Cluster, 'storage'>, node: NodeName): boolean {
  return storage.node(node)?.reachable === true;
}

function hasNone({ name }: Volume, from: NodeName): SluiceError {
  return new SluiceError(
    'not_found',
    `node ${from} has nothing of volume ${name}`,
    'sluice volume show tells where its bricks are',
  );
}

function isOnlyCopy({ name }: Volume): SluiceError {
  return new SluiceError(
    'refused',
    `volume ${name} has no other copy, from which it could be made anew elsewhere`,
    'make another volume and copy what is in it; from a dead node sluice volume recover reads it',
  );
}

function notKnown({ name }: Volume, why: string): SluiceError {
  return new SluiceError(
    'not_ready',
    `nothing of volume ${name} can be moved now: ${why}`,
    'see sluice volume show; try again when its copies serve, and nothing is to be healed',
  );
}

function contradicts({ name }: Volume): SluiceError {
  return new SluiceError(
    'refused',
    `copies of volume ${name} contradict each other, and the one that is moved may be right`,
    'see sluice volume show',
  );
}

function nowhere(
  { name, thin }: Volume,
  index: number,
  image: number,
  to: NodeName | undefined,
): SluiceError {
  const who = to === undefined ? 'no storage node that can be reached' : `node ${to}`;
  return new SluiceError(
    'refused',
    `brick ${index} of volume ${name} takes ${inWords(image)}${thin ? ' as it fills' : ''} on a storage node that has no copy of the same, and ${who} ${to === undefined ? 'is' : 'is not'} one with that room`,
    'add a storage node: sluice up --storage there',
  );
}
