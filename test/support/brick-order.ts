/** A program that keeps bricks once, as its first argument says, and dies where SLUICE_FAIL_POINTS says. */
import { failPoints } from '../../cli/roles/fail-point.ts';
import { createBrickKeeper } from '../../storaged/bricks/keeper.ts';
import type { WantedBrick } from '../../storaged/contract.ts';

export interface BrickOrder {
  readonly pool: string;
  readonly brickRoot: string;
  /** A process in the namespace. */
  readonly pid: number;
  readonly ensure?: WantedBrick;
  readonly remove?: Pick<WantedBrick, 'volume' | 'index'>;
}

const { pool, brickRoot, pid, ensure, remove } = JSON.parse(process.argv[2] ?? '') as BrickOrder;
const keeper = createBrickKeeper({
  pool,
  daemon: {
    brickRoot,
    ensure: async () => {},
    isAlive: () => true,
    inside: (argv) => ['nsenter', `--mount=/proc/${pid}/ns/mnt`, ...argv],
  },
  ...{ reserve: 1, overcommit: 2, checkpoint: failPoints(process.env['SLUICE_FAIL_POINTS']) },
});
if (ensure !== undefined) await keeper.ensure(ensure);
if (remove !== undefined) await keeper.remove(remove.volume, remove.index);
