/** Reads how bricks stand: their files, the devices that show them, where they are mounted. Decides nothing. */
import { isThere } from '../../linux/directories.ts';
import { imageAt } from '../../linux/images.ts';
import { type LoopInUse, loopsInUse } from '../../linux/loop.ts';
import { fillsInside, type XfsMount, xfsGeometry, xfsMounts } from '../../linux/xfs.ts';
import type { GlusterDaemon } from '../contract.ts';
import type { ObservedBrick } from './plan.ts';
import { filesOf } from './records.ts';

export interface Place {
  readonly pool: string;
  readonly daemon: Pick<GlusterDaemon, 'ensure' | 'isAlive' | 'inside' | 'brickRoot'>;
}

/** Below it lies the brick, so that one that is not mounted is not there at all, and nothing is written beside it. */
export const pointOf = ({ daemon }: Place, name: string): string => `${daemon.brickRoot}/${name}`;
export const brickPathOf = (place: Place, name: string): string => `${pointOf(place, name)}/brick`;

/** What is mounted below the root of bricks, by mount point; of two at one point the later. None while glusterd is away. */
export async function mountedBricks({ daemon }: Place): Promise<ReadonlyMap<string, XfsMount>> {
  if (!daemon.isAlive()) return new Map();
  const mounts = await xfsMounts(daemon.inside);
  const below = mounts.filter(({ point }) => point.startsWith(`${daemon.brickRoot}/`));
  return new Map(below.map((mount) => [mount.point, mount]));
}

export async function observeBrick(place: Place, name: string): Promise<ObservedBrick> {
  const files = filesOf(place.pool, name);
  const point = pointOf(place, name);
  const path = brickPathOf(place, name);
  const mounted = (await mountedBricks(place)).get(point)?.device;
  const isMounted = mounted !== undefined;
  return {
    image: imageAt(files.image),
    half: isThere(files.half),
    device: loopOf(files.image),
    mounted,
    fileSystem: isMounted ? await xfsGeometry(place.daemon.inside, point) : undefined,
    directory: isMounted && (await fillsInside(place.daemon.inside, [path])).has(path),
  };
}

function loopOf(image: string): LoopInUse | undefined {
  return loopsInUse().find(({ file }) => file === image);
}
