/** Which volume somebody means, and whether it is theirs to see. */
import { SluiceError } from '../../model/errors.ts';
import type { TenantName } from '../../model/names.ts';
import { VolumeId } from '../../model/volume.ts';
import type { VolumeWord } from '../../model/volume-request.ts';
import type { Store } from '../../store/contract.ts';
import type { Principal } from './principal.ts';
import { notYours } from './tenants.ts';
import { allVolumes, findVolume, type KeptVolume, noVolume } from './volume-store.ts';

/**
 * The volume that is meant. What is not a tenant's own is not there for it, whether by id or by name.
 *
 * @param word  its id, or its name together with the tenant; a tenant's own otherwise
 * @throws SluiceError `not_found`, `invalid_request` (a name without a tenant), `refused` (another tenant was named)
 */
export async function meantVolume(
  store: Store,
  who: Principal,
  word: VolumeWord,
  named: TenantName | undefined,
): Promise<KeptVolume> {
  const tenant = tenantFor(who, named);
  const id = VolumeId.safeParse(word);
  if (id.success) {
    const found = await findVolume(store, id.data);
    if (found === undefined || (tenant !== undefined && found.one.tenant !== tenant)) throw noVolume(word);
    return found;
  }
  if (tenant === undefined)
    throw new SluiceError(
      'invalid_request',
      `it is not said whose volume ${word} is`,
      'name the tenant with ?tenant=, or give the id of the volume',
    );
  const all = (await allVolumes(store)).filter(({ one }) => one.tenant === tenant && one.name === word);
  // One that is on its way out has given its name away already.
  const found = all.find(({ one }) => one.phase !== 'removing') ?? all.at(-1);
  if (found === undefined) throw noVolume(word);
  return found;
}

/** What a tenant asks for can only narrow what it may see. @throws SluiceError `refused` */
export function tenantFor(who: Principal, named: TenantName | undefined): TenantName | undefined {
  if (who.role !== 'tenant') return named;
  if (named !== undefined && named !== who.tenant) throw notYours(named);
  return who.tenant;
}
