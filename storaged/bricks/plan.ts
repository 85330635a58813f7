/**
 * What has to be done so that a brick is there as it is wanted. Pure: (wanted, observed) → ordered actions. What only
 * shows when it is mounted is planned when it is: whoever carries plans out goes on until nothing is left to do.
 */
import { BLOCK_BYTES, type BrickShape } from '../../model/brick-size.ts';

export interface ObservedBrick {
  /** The file system's file, once it was made whole. */
  readonly image: { readonly bytes: number; readonly takenBytes: number } | undefined;
  /** Whether one was begun. */
  readonly half: boolean;
  /** The loop device that shows the image. */
  readonly device: { readonly device: string; readonly bytes: number } | undefined;
  /** What is mounted where the brick belongs: a device. */
  readonly mounted: string | undefined;
  /** As the kernel has it; while it is mounted. */
  readonly fileSystem: { readonly blocks: number; readonly inodePercent: number } | undefined;
  /** Whether the directory is there that Gluster is told of. */
  readonly directory: boolean;
}

export interface WantedShape extends BrickShape {
  readonly thin: boolean;
}

export type BrickAction =
  | { readonly kind: 'discard-half' }
  | { readonly kind: 'make'; readonly shape: WantedShape }
  | { readonly kind: 'extend'; readonly bytes: number }
  | { readonly kind: 'reserve'; readonly bytes: number }
  | { readonly kind: 'refresh'; readonly device: string }
  | { readonly kind: 'mount'; readonly discard: boolean }
  | { readonly kind: 'grow'; readonly blocks: number; readonly inodePercent: number }
  | { readonly kind: 'make-directory' }
  /** Nothing that may be done by itself. */
  | { readonly kind: 'give-up'; readonly why: string };

/** In the order in which they are to be carried out; each may be repeated. Nothing is ever made smaller or anew. */
export function planBrick(wanted: WantedShape, observed: ObservedBrick): BrickAction[] {
  const { image, device, mounted } = observed;
  if (mounted !== undefined && mounted !== device?.device)
    return [{ kind: 'give-up', why: strange(mounted) }];
  if (image === undefined) {
    const tidy: BrickAction[] = observed.half ? [{ kind: 'discard-half' }] : [];
    return [...tidy, { kind: 'make', shape: wanted }, { kind: 'mount', discard: wanted.thin }];
  }
  const actions = planImage(wanted, image);
  if (device !== undefined && device.bytes < Math.max(wanted.imageBytes, image.bytes))
    actions.push({ kind: 'refresh', device: device.device });
  if (mounted === undefined) actions.push({ kind: 'mount', discard: wanted.thin });
  else actions.push(...planMounted(wanted, observed));
  return actions;
}

function planImage(wanted: WantedShape, image: NonNullable<ObservedBrick['image']>): BrickAction[] {
  const bytes = wanted.imageBytes;
  if (!wanted.thin && image.takenBytes < bytes) return [{ kind: 'reserve', bytes }];
  return image.bytes < bytes ? [{ kind: 'extend', bytes }] : [];
}

function planMounted(wanted: WantedShape, { fileSystem, directory }: ObservedBrick): BrickAction[] {
  const actions: BrickAction[] = [];
  const blocks = Math.max(wanted.imageBytes / BLOCK_BYTES, fileSystem?.blocks ?? 0);
  const { inodePercent } = wanted;
  const isRight = fileSystem?.blocks === blocks && fileSystem.inodePercent === inodePercent;
  if (fileSystem !== undefined && !isRight) actions.push({ kind: 'grow', blocks, inodePercent });
  if (!directory) actions.push({ kind: 'make-directory' });
  return actions;
}

const strange = (device: string): string =>
  `${device} is mounted in its place, which does not show its image: was the image moved or deleted? ` +
  'While it is mounted its data can be copied out of it';
