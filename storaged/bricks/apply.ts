/** Carries out what is planned for a brick. Every action may be repeated; between any two the process may die. */
import { removeIfThere } from '../../linux/files.ts';
import { extendImage, publishImage, reserveImage } from '../../linux/images.ts';
import { attachLoop, refreshLoop } from '../../linux/loop.ts';
import { growXfs, makeProjectDirectory, makeXfs, mountXfs } from '../../linux/xfs.ts';
import { LOG_BLOCKS } from '../../model/brick-size.ts';
import { SluiceError } from '../../model/errors.ts';
import { brickPathOf, type Place, pointOf } from './observe.ts';
import type { BrickAction, WantedShape } from './plan.ts';
import { type BrickFiles, filesOf } from './records.ts';

export type Checkpoint = (point: string) => void;

/** Where a process may be made to die, in the order in which it comes by. */
export const BRICK_POINTS = {
  make: ['recorded', 'imaged', 'formatted', 'made', 'attached', 'mounted', 'directory'],
  grow: ['recorded', 'extended', 'refreshed', 'grown'],
  growReserved: ['recorded', 'reserved', 'refreshed', 'grown'],
  remove: ['unmounted', 'forgotten', 'removed'],
} as const;

/** @throws SluiceError `storage_failed`, `program_failed`, `kernel_refused` */
export async function applyBrick(
  place: Place,
  name: string,
  actions: readonly BrickAction[],
  checkpoint: Checkpoint,
): Promise<void> {
  const files = filesOf(place.pool, name);
  const { inside } = place.daemon;
  for (const action of actions) {
    switch (action.kind) {
      case 'give-up':
        throw new SluiceError(
          'storage_failed',
          `brick ${name} cannot be used: ${action.why}`,
          'docs/bricks.md',
        );
      case 'discard-half':
        removeIfThere(files.half);
        break;
      case 'make':
        await makeImage(files, action.shape, checkpoint);
        break;
      case 'extend':
        extendImage(files.image, action.bytes);
        checkpoint('brick:extended');
        break;
      case 'reserve':
        await reserveImage(files.image, action.bytes);
        checkpoint('brick:reserved');
        break;
      case 'refresh':
        refreshLoop(action.device);
        checkpoint('brick:refreshed');
        break;
      case 'mount': {
        // Held until it is mounted: a device that nothing uses goes by itself.
        using loop = attachLoop(files.image);
        checkpoint('brick:attached');
        await mountXfs(inside, loop.device, pointOf(place, name), action);
        checkpoint('brick:mounted');
        break;
      }
      case 'grow':
        await growXfs(inside, pointOf(place, name), action);
        checkpoint('brick:grown');
        break;
      case 'make-directory':
        await makeProjectDirectory(inside, brickPathOf(place, name));
        checkpoint('brick:directory');
        break;
    }
  }
}

async function makeImage(files: BrickFiles, shape: WantedShape, checkpoint: Checkpoint): Promise<void> {
  if (shape.thin) extendImage(files.half, shape.imageBytes);
  else await reserveImage(files.half, shape.imageBytes);
  checkpoint('brick:imaged');
  await makeXfs(files.half, { ...shape, logBlocks: LOG_BLOCKS });
  checkpoint('brick:formatted');
  publishImage(files.half, files.image);
  checkpoint('brick:made');
}
