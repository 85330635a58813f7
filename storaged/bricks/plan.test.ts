import fc from 'fast-check';
import { BLOCK_BYTES, shapeOf } from '../../model/brick-size.ts';
import { type BrickAction, type ObservedBrick, planBrick, type WantedShape } from './plan.ts';

const MIB = 2 ** 20;
const DEVICE = '/dev/loop7';
const NOTHING: ObservedBrick = {
  ...{ image: undefined, half: false, device: undefined, mounted: undefined },
  ...{ fileSystem: undefined, directory: false },
};

const wantedOf = (mib: number, thin: boolean, groupBlocks?: number): WantedShape => ({
  ...shapeOf({ bytes: mib * MIB, inodes: null }, groupBlocks),
  thin,
});

/** What the world is after an action, as far as plans can tell. Its pieces are checked, too. */
function perform(before: ObservedBrick, action: BrickAction): ObservedBrick {
  const image = before.image ?? { bytes: 0, takenBytes: 0 };
  switch (action.kind) {
    case 'discard-half':
      return { ...before, half: false };
    case 'make': {
      expect(before).toMatchObject({ image: undefined, half: false });
      const { imageBytes, thin } = action.shape;
      return { ...before, image: { bytes: imageBytes, takenBytes: thin ? 0 : imageBytes } };
    }
    case 'extend':
      expect(action.bytes).toBeGreaterThan(image.bytes);
      return { ...before, image: { ...image, bytes: action.bytes } };
    case 'reserve':
      return { ...before, image: { bytes: Math.max(image.bytes, action.bytes), takenBytes: action.bytes } };
    case 'refresh':
      return { ...before, device: { device: action.device, bytes: image.bytes } };
    case 'mount':
      return mount(before);
    case 'grow':
      expect(before.device?.bytes).toBeGreaterThanOrEqual(action.blocks * BLOCK_BYTES);
      expect(action.blocks).toBeGreaterThanOrEqual(before.fileSystem?.blocks ?? Number.POSITIVE_INFINITY);
      return { ...before, fileSystem: { blocks: action.blocks, inodePercent: action.inodePercent } };
    case 'make-directory':
      expect(before.mounted).toBe(DEVICE);
      return { ...before, directory: true };
    case 'give-up':
      throw new Error(action.why);
  }
}

/** Of the file system in it nobody but the image knows; the smallest it can be is what it was made with. */
let inImage: NonNullable<ObservedBrick['fileSystem']> | undefined;

function mount(before: ObservedBrick): ObservedBrick {
  expect(before.image).toBeDefined();
  const bytes = before.image?.bytes ?? 0;
  const fileSystem = inImage ?? { blocks: bytes / BLOCK_BYTES, inodePercent: 4 };
  return { ...before, device: before.device ?? { device: DEVICE, bytes }, mounted: DEVICE, fileSystem };
}

/** Plans and performs until nothing is left. @returns the world, and in how many rounds it came about */
function settle(wanted: WantedShape, start: ObservedBrick): { world: ObservedBrick; rounds: number } {
  let world = start;
  for (let rounds = 0; ; rounds++) {
    const actions = planBrick(wanted, world);
    if (actions.length === 0) return { world, rounds };
    expect(rounds).toBeLessThan(3);
    for (const action of actions) world = perform(world, action);
  }
}

const anyMib = fc.integer({ min: 256, max: 100_000 });

/** A brick of another size, stopped after any number of steps. */
const anyInterrupted = fc
  .record({ mib: anyMib, thin: fc.boolean(), half: fc.boolean(), steps: fc.nat(6), reboot: fc.boolean() })
  .map(({ mib, thin, half, steps, reboot }) => {
    const wanted = wantedOf(mib, thin);
    let world: ObservedBrick = { ...NOTHING, half };
    inImage = undefined;
    for (let step = 0; step < steps; step++) {
      const [next] = planBrick(wanted, world);
      if (next !== undefined) world = perform(world, next);
    }
    if (reboot)
      world = { ...world, device: undefined, mounted: undefined, fileSystem: undefined, directory: false };
    return { world, mib, groupBlocks: wanted.groupBlocks, inodePercent: wanted.inodePercent };
  });

describe('the plan of a brick', () => {
  it('comes to what is wanted from wherever it was interrupted, and nothing is made anew or smaller', () => {
    fc.assert(
      fc.property(anyInterrupted, fc.nat(50_000), fc.boolean(), ({ world: start, ...made }, more, thin) => {
        const wanted = wantedOf(made.mib + more, thin, start.image && made.groupBlocks);
        inImage = start.image && { blocks: start.image.bytes / BLOCK_BYTES, inodePercent: made.inodePercent };
        const { world } = settle(wanted, start);
        expect(world).toMatchObject({ half: false, mounted: DEVICE, directory: true });
        expect(world.image?.bytes).toBe(wanted.imageBytes);
        expect(world.device?.bytes).toBe(wanted.imageBytes);
        const blocks = wanted.imageBytes / BLOCK_BYTES;
        expect(world.fileSystem).toEqual({ blocks, inodePercent: wanted.inodePercent });
        if (!thin) expect(world.image?.takenBytes).toBe(wanted.imageBytes);
      }),
    );
  });

  it('leaves alone what is as it should be', () => {
    inImage = undefined;
    const wanted = wantedOf(512, true);
    expect(planBrick(wanted, settle(wanted, NOTHING).world)).toEqual([]);
  });

  it('takes away what was half made, and begins anew', () => {
    const kinds = planBrick(wantedOf(512, false), { ...NOTHING, half: true }).map(({ kind }) => kind);
    expect(kinds).toEqual(['discard-half', 'make', 'mount']);
  });

  it('touches nothing that is mounted in its place and shows something else', () => {
    const strange = { ...NOTHING, mounted: '/dev/loop9' };
    expect(planBrick(wantedOf(512, true), strange)).toMatchObject([{ kind: 'give-up' }]);
  });
});
