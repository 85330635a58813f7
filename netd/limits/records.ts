/**
 * What netd has written down of containers' limits: what the kernel held before our first write, and what an operator
 * has set for one container. Kept in memory for speed and in the store for restarts.
 */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import { CGROUP_FIELDS, type LimitField, type Limits, type LimitValue } from '../../model/limits.ts';
import type { ContainerId } from '../../model/names.ts';
import type { CgroupLimits } from '../../qos/contract.ts';
import type { Store } from '../../store/contract.ts';

const CONTAINERS = 'limits/containers/';

/** One and the same, so that it can be told that nothing has changed. */
const NOTHING = {};

const Value: z.ZodType<LimitValue> = z.union([z.number(), z.string(), z.null()]);

const Kept = z.strictObject({
  /** When the attachment was made by which it was first seen: a container that comes back under its id is another. */
  attachedAt: z.number(),
  captured: z.partialRecord(z.enum(CGROUP_FIELDS), Value).nullable(),
  operator: z.record(z.string(), Value),
});
type Kept = z.infer<typeof Kept>;

export interface LimitRecords {
  /** What the kernel held before our first write; undefined: not seen yet. */
  captured(container: ContainerId): CgroupLimits | undefined;
  operator(container: ContainerId): Limits;
  /** Nothing may be written to the kernel before this is done. */
  capture(container: ContainerId, attachedAt: number, limits: CgroupLimits): Promise<void>;
  setOperator(container: ContainerId, attachedAt: number, limits: Limits): Promise<void>;
  /** Forgets every container but these, and one that was attached anew. */
  keepOnly(attachedAt: ReadonlyMap<ContainerId, readonly number[]>): Promise<void>;
}

/** @throws SluiceError `store_failed`: going on without them would take our own limits for the runtime's */
export async function openLimitRecords(store: Store): Promise<LimitRecords> {
  const { entries } = await store.list(CONTAINERS);
  const all = new Map<ContainerId, Kept>();
  for (const { key, value } of entries) {
    const parsed = Kept.safeParse(value);
    if (!parsed.success)
      throw new SluiceError(
        'store_failed',
        `the record ${key} cannot be read`,
        'it was left untouched: run the sluice that wrote it, or put a backup of netd.sqlite in its place',
      );
    all.set(key.slice(CONTAINERS.length) as ContainerId, parsed.data);
  }

  async function put(container: ContainerId, kept: Kept): Promise<void> {
    await store.txn({ put: [{ key: CONTAINERS + container, value: kept }] });
    all.set(container, kept);
  }

  return {
    captured: (container) => all.get(container)?.captured ?? undefined,
    operator: (container) =>
      (all.get(container)?.operator ?? NOTHING) as Partial<Record<LimitField, LimitValue>>,
    capture: (container, attachedAt, captured) => {
      const { operator } = all.get(container) ?? { operator: {} };
      return put(container, { attachedAt, captured, operator });
    },
    setOperator: (container, attachedAt, limits) => {
      const present = all.get(container) ?? { attachedAt, captured: null };
      return put(container, { ...present, operator: defined(limits) });
    },
    async keepOnly(attachedAt): Promise<void> {
      const gone = [...all].flatMap(([container, kept]) =>
        attachedAt.get(container)?.includes(kept.attachedAt) ? [] : [container],
      );
      if (gone.length === 0) return;
      await store.txn({ delete: gone.map((container) => CONTAINERS + container) });
      for (const container of gone) all.delete(container);
    },
  };
}

function defined(limits: Limits): Record<string, LimitValue> {
  return Object.fromEntries(
    Object.entries(limits).filter((pair): pair is [string, LimitValue] => pair[1] !== undefined),
  );
}
