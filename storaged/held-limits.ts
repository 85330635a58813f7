/** What the clients of this node hold of limits: told to netd, who decides them, and set by it. */
import { SluiceError } from '../model/errors.ts';
import { type Limits, VOLUME_FIELDS, type VolumeField } from '../model/limits.ts';
import {
  type HeldMount,
  type MountLimitsAnswer,
  type NodeMounts,
  UNLIMITED_VOLUME,
  type VolumeRates,
} from '../model/mount-limits.ts';
import type { TenantName } from '../model/names.ts';
import type { MountId } from '../model/volume.ts';
import type { Mount } from './contract.ts';
import type { MountParts } from './parts.ts';

export interface HeldLimits {
  /** @throws SluiceError `not_found`, `storage_failed` */
  setMount(id: MountId, limits: VolumeRates): Promise<MountLimitsAnswer>;
  setTenant(tenant: TenantName, limits: VolumeRates): Promise<MountLimitsAnswer>;
  all(): Promise<NodeMounts>;
}

/**
 * @param parts    undefined: nothing was ever mounted here
 * @param changed  called when something was set
 */
export function heldLimits(parts: () => MountParts | undefined, changed: () => void): HeldLimits {
  const require = (): MountParts => parts() ?? nothingMounted();

  async function heldBy(keeper: MountParts['keeper'], mount: Mount): Promise<VolumeRates | null> {
    // A client that is dead holds nothing, and is about to be replaced.
    return await keeper.statistics(mount.id).then(
      ({ limits }) => ratesOf(limits),
      () => null,
    );
  }

  return {
    async setMount(id, limits): Promise<MountLimitsAnswer> {
      const { keeper } = require();
      const shortfalls = await keeper.setLimits(id, limits);
      const held = ratesOf((await keeper.statistics(id)).limits);
      changed();
      return {
        held,
        shortfalls: shortfalls.flatMap(({ field, why }) => (isVolumeField(field) ? [{ field, why }] : [])),
      };
    },
    async setTenant(tenant, limits): Promise<MountLimitsAnswer> {
      const { shares } = require();
      await shares.set({ tenant }, limits);
      changed();
      return { held: ratesOf(shares.held({ tenant })), shortfalls: [] };
    },
    async all(): Promise<NodeMounts> {
      const open = parts();
      if (open === undefined) return { mounts: [], shares: [] };
      const { keeper, shares } = open;
      const all = keeper.mounts();
      const mounts = await Promise.all(
        all.map(async (mount): Promise<HeldMount> => {
          const { id, volume, tenant, container, into, state, limits, replaced } = mount;
          const held = await heldBy(keeper, mount);
          const directory = into?.directory ?? null;
          return { ...{ id, volume, tenant, container, directory, state, limits, replaced }, held };
        }),
      );
      const tenants = [...new Set(all.map(({ tenant }) => tenant))];
      return {
        mounts,
        shares: tenants.map((tenant) => ({ tenant, held: ratesOf(shares.held({ tenant })) })),
      };
    },
  };
}

function nothingMounted(): never {
  throw new SluiceError('not_found', 'nothing is mounted on this node', 'see `sluice volume show`');
}

function ratesOf(limits: Limits): VolumeRates {
  const named = VOLUME_FIELDS.map((field) => [field, limits[field] ?? null] as const);
  return { ...UNLIMITED_VOLUME, ...Object.fromEntries(named) };
}

function isVolumeField(field: string): field is VolumeField {
  return (VOLUME_FIELDS as readonly string[]).includes(field);
}
