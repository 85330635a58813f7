/** What a tenant may have of volumes by its plan: how many, how much, and how fast. Pure. */
import { SluiceError } from '../../model/errors.ts';
import { type Limits, VOLUME_FIELDS } from '../../model/limits.ts';
import type { LimitDefaults, TenantPlan } from '../../model/plan.ts';
import { printLimit } from '../../model/quantity.ts';
import type { Volume } from '../../model/volume.ts';
import { inWords } from './volume-placement.ts';

/**
 * Deleted volumes count as long as their data is kept: they take their room, and may come back.
 *
 * @param own  the tenant's volumes but the one that is asked for
 * @throws SluiceError `refused`
 */
export function checkQuota(
  { tenant, volumes }: TenantPlan,
  own: readonly Volume[],
  wantedBytes: number,
): void {
  const counted = own.filter(({ phase }) => phase !== 'removing');
  const kept = counted.filter(({ phase }) => phase === 'deleted').length;
  const and = kept === 0 ? '' : `, ${kept} of them deleted ones whose data is still kept`;
  const hint = 'delete one for good (sluice volume delete NAME --now), or ask an operator: sluice tenant set';
  const { count, bytes } = volumes;
  if (count !== null && counted.length + 1 > count)
    throw new SluiceError(
      'refused',
      `tenant ${tenant} may have ${count} volumes, and has ${counted.length}${and}`,
      hint,
    );
  const has = counted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (bytes !== null && has + wantedBytes > bytes)
    throw new SluiceError(
      'refused',
      `tenant ${tenant} may have ${inWords(bytes)} of volumes; with ${inWords(wantedBytes)} more it would have ${inWords(has + wantedBytes)}${and}`,
      hint,
    );
}

/**
 * A volume's own limits are stronger than the plan's, so a tenant may lower them only.
 * @throws SluiceError `refused`
 */
export function checkBandwidth(
  plan: Pick<TenantPlan, 'tenant' | 'container'>,
  { container }: Pick<LimitDefaults, 'container'>,
  limits: Limits,
): void {
  for (const field of VOLUME_FIELDS) {
    const asked = limits[field];
    const planned = plan.container[field];
    const most = planned === undefined ? container[field] : planned;
    if (asked === undefined || typeof most !== 'number') continue;
    if (typeof asked === 'number' && asked <= most) continue;
    throw new SluiceError(
      'refused',
      `${field} of tenant ${plan.tenant} is at most ${printLimit(field, most)}, and ${printLimit(field, asked)} is asked for`,
      'ask for less, or ask an operator to raise the plan',
    );
  }
}
