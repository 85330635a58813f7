/** Takes away mounts and loop devices of bricks that nobody knows: of a process that died while it removed one. */
import { detachLoop, loopsInUse } from '../../linux/loop.ts';
import { unmountInside } from '../../linux/xfs.ts';
import { mountedBricks, type Place, pointOf } from './observe.ts';
import { isBrickName } from './records.ts';

/**
 * Nothing may be changed meanwhile: a device that is about to be mounted would be taken for a stray.
 * @param known  names of the bricks of this node
 */
export async function removeStrays(place: Place, known: ReadonlySet<string>): Promise<void> {
  const { daemon, pool } = place;
  const mounted = await mountedBricks(place);
  const isKnown = (point: string): boolean => [...known].some((name) => pointOf(place, name) === point);
  for (const point of mounted.keys()) {
    const isOurs = isBrickName(point.slice(daemon.brickRoot.length + 1));
    if (isOurs && !isKnown(point)) await unmountInside(daemon.inside, point, true);
  }
  const used = new Set([...mounted.values()].map(({ device }) => device));
  // One that is mounted elsewhere goes on until it is not: the kernel only notes that it is to end then.
  for (const { device, file } of loopsInUse())
    if (file.startsWith(`${pool}/`) && !used.has(device)) detachLoop(device);
}
