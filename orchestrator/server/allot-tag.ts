/** Which tag the next tenant gets. */
import { SluiceError } from '../../model/errors.ts';
import { STRANGER_TAG } from '../../model/fence-probe.ts';
import { TenantTag } from '../../model/names.ts';

/**
 * Tags only go up and never come back: a packet that was on its way when its tenant was deleted must not belong
 * to another one.
 *
 * @param last  the highest tag ever given; 0 before the first
 * @throws SluiceError `limited` after 16,777,213 tenants: the last two tags belong to the fence's own probes
 */
export function nextTag(last: number): TenantTag {
  const next = TenantTag.safeParse(last + 1);
  if (next.success && next.data < STRANGER_TAG) return next.data;
  throw new SluiceError('limited', 'all 16,777,213 tenant tags have been given', 'make another cluster');
}
