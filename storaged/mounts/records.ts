/**
 * What storaged has written down of mounts: what each is meant to be, and how far it got. Kept in memory for speed and
 * in the store for restarts; what is really mounted is asked of the kernel.
 */
import * as z from 'zod';
import { SluiceError } from '../../model/errors.ts';
import type { Limits } from '../../model/limits.ts';
import { FlatLimits } from '../../model/limits-tree.ts';
import { ContainerId, TenantName } from '../../model/names.ts';
import { type MountId, MountRequest, VolumeId } from '../../model/volume.ts';
import type { Put, Store } from '../../store/contract.ts';

const CLIENTS = 'mounts/clients/';
const POINTS = 'mounts/points/';

/** A Gluster client: all of a container's mounts of one volume. */
export const KeptClient = z.strictObject({
  volume: VolumeId,
  container: ContainerId,
  tenant: TenantName,
  /** What it holds; the next one begins with it. */
  limits: FlatLimits as z.ZodType<Limits>,
  replaced: z.int().min(0),
});
export type KeptClient = z.infer<typeof KeptClient>;

export const KeptMount = z.strictObject({
  client: z.string(),
  request: MountRequest,
  /** When the process of `into` began: its number may be somebody else's later. null: there is none. */
  startedAt: z.int().nullable(),
  sizeBytes: z.number(),
  /**
   * - `adding`: it may be there in part; who asked for it has heard nothing, so it is undone;
   * - `ready`: it is to be there, whatever happens;
   * - `ending`: it is to go.
   */
  phase: z.enum(['adding', 'ready', 'ending']),
  /** How many components of `into.directory` we have made. */
  made: z.int().min(0),
});
export type KeptMount = z.infer<typeof KeptMount>;

export interface MountRecords {
  readonly clients: ReadonlyMap<string, KeptClient>;
  readonly mounts: ReadonlyMap<MountId, KeptMount>;
  /** In one transaction. */
  put(changes: {
    readonly client?: readonly [string, KeptClient];
    readonly mount?: readonly [MountId, KeptMount];
  }): Promise<void>;
  /** With its client, if it was its last mount. */
  remove(mount: MountId): Promise<void>;
}

/** @throws SluiceError `store_failed`: what cannot be read cannot be taken away in order either */
export async function openMountRecords(store: Store): Promise<MountRecords> {
  const clients = await load(store, CLIENTS, KeptClient);
  const mounts = (await load(store, POINTS, KeptMount)) as Map<MountId, KeptMount>;
  return {
    clients,
    mounts,
    async put({ client, mount }): Promise<void> {
      const put: Put[] = [];
      if (client !== undefined) put.push({ key: CLIENTS + client[0], value: client[1] });
      if (mount !== undefined) put.push({ key: POINTS + mount[0], value: mount[1] });
      await store.txn({ put });
      if (client !== undefined) clients.set(...client);
      if (mount !== undefined) mounts.set(...mount);
    },
    async remove(id): Promise<void> {
      const client = mounts.get(id)?.client ?? '';
      const isLast = ![...mounts].some(([other, kept]) => other !== id && kept.client === client);
      await store.txn({ delete: isLast ? [POINTS + id, CLIENTS + client] : [POINTS + id] });
      mounts.delete(id);
      if (isLast) clients.delete(client);
    },
  };
}

async function load<T>(store: Store, prefix: string, schema: z.ZodType<T>): Promise<Map<string, T>> {
  const { entries } = await store.list(prefix);
  return new Map(
    entries.map(({ key, value }) => {
      const parsed = schema.safeParse(value);
      if (parsed.success) return [key.slice(prefix.length), parsed.data];
      throw new SluiceError(
        'store_failed',
        `the record ${key} cannot be read`,
        'it was left untouched: run the sluice that wrote it, or end all mounts with sluice down',
      );
    }),
  );
}
