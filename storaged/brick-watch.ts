/** Whether this node's bricks serve, and what their indices know of copies that are behind: seen in the kernel and on disk. */
import { healIndexOf } from '../linux/gluster-bricks.ts';
import type { BrickReport, HealIndex } from '../model/volume-report.ts';
import type { StorageKeeper } from './keeper.ts';
import type { StorageParts } from './parts.ts';

export interface BrickWatch {
  /** The same, with what is seen of them now. */
  look(bricks: readonly BrickReport[]): Promise<BrickReport[]>;
}

/** So long a brick's process may take to come up; one that does not serve then is down. */
const STARTS_WITHIN_MS = 5_000;
/** So long the indices may take; on a disk that hangs reading one never ends, and they are not known meanwhile. */
const INDICES_WITHIN_MS = 200;

/** @param now  of a clock that only goes forward, in ms */
export function watchBricks(
  parts: Pick<StorageParts, 'open'>,
  keeper: Pick<StorageKeeper, 'isStarted'>,
  now: () => number,
): BrickWatch {
  /** By path, since when each is to serve. */
  let awaited = new Map<string, number | 'served'>();
  /** One at a time: whoever waits for a disk holds a thread. */
  let reading: Promise<void> | undefined;

  async function indicesOf(
    holder: number,
    paths: readonly string[],
  ): Promise<ReadonlyMap<string, HealIndex>> {
    const found = new Map<string, HealIndex>();
    if (reading !== undefined) return found;
    reading = (async () => {
      for (const path of paths) found.set(path, await healIndexOf(holder, path));
    })().finally(() => {
      reading = undefined;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, INDICES_WITHIN_MS);
    });
    await Promise.race([reading, late]);
    clearTimeout(timer);
    return new Map(found);
  }

  return {
    async look(bricks): Promise<BrickReport[]> {
      const daemon = parts.open.gluster?.daemon;
      const holder = daemon?.holder();
      if (daemon === undefined || holder === undefined) return [...bricks];
      const started = bricks.flatMap(({ volume, path }) =>
        path !== undefined && keeper.isStarted(volume) ? [path] : [],
      );
      const serving = daemon.serving(started);
      const time = now();
      awaited = new Map(
        started.map((path) => [path, serving.has(path) ? 'served' : (awaited.get(path) ?? time)]),
      );
      const indices = await indicesOf(holder, [...serving]);
      return bricks.map((brick) => {
        const since = brick.path === undefined ? undefined : awaited.get(brick.path);
        if (brick.path === undefined || since === undefined) return brick;
        const healIndex = indices.get(brick.path);
        if (serving.has(brick.path)) return { ...brick, online: true, ...(healIndex && { healIndex }) };
        return since === 'served' || time - since > STARTS_WITHIN_MS ? { ...brick, online: false } : brick;
      });
    },
  };
}
