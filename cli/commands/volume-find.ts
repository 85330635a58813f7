/** The volume that somebody means, by its id or by its name. */
import type { ApiClient } from '../../linux/api-client.ts';
import { SluiceError } from '../../model/errors.ts';
import { VolumeId } from '../../model/volume.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { listAll, pathTo } from './clients.ts';

export const VOLUMES = '/v1/volumes';

/**
 * A tenant's token sees its own volumes alone; everybody else may leave the tenant out where only one has a volume of
 * that name.
 * @throws SluiceError `not_found`, `conflict`
 */
export async function findVolume(
  client: ApiClient,
  word: string,
  tenant: string | undefined,
): Promise<VolumeShown> {
  if (VolumeId.safeParse(word).success) return showVolume(client, word);
  const query = new URLSearchParams({ all: '1', ...(tenant !== undefined && { tenant }) });
  const all = await listAll<VolumeShown>(client, `${VOLUMES}?${query}`);
  return theOne(all, word, tenant);
}

export async function showVolume(client: ApiClient, id: string): Promise<VolumeShown> {
  return (await client.request('GET', pathTo(VOLUMES, id))) as VolumeShown;
}

/** What is going already gives its name away to a new one. */
export function theOne(all: readonly VolumeShown[], name: string, tenant: string | undefined): VolumeShown {
  const named = all.filter(({ volume }) => volume.name === name);
  const staying = named.filter(({ volume }) => volume.phase !== 'removing');
  const [one, ...others] = staying.length > 0 ? staying : named;
  if (one === undefined)
    throw new SluiceError(
      'not_found',
      `there is no volume ${name}${tenant === undefined ? '' : ` of tenant ${tenant}`}`,
      'sluice volume list shows what there is',
    );
  if (others.length === 0) return one;
  const tenants = [one, ...others].map(({ volume }) => volume.tenant);
  throw new SluiceError(
    'conflict',
    `${tenants.length} tenants have a volume ${name}`,
    `say whose: --tenant ${tenants.join(', --tenant ')}`,
  );
}
