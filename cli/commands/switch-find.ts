/** The switch that somebody means, by its id or by its name. */
import { SluiceError } from '../../model/errors.ts';
import { SwitchId } from '../../model/switch.ts';
import type { SwitchListed } from '../../model/switch-request.ts';
import { listAll, type ServerFlags, withServer } from './clients.ts';

/**
 * Names are looked up among the living; several may bear one.
 * @throws SluiceError `not_found`, `conflict`
 */
export async function findSwitch(flags: ServerFlags, word: string): Promise<string> {
  if (SwitchId.safeParse(word).success) return word;
  const alive = await withServer(flags, (client) => listAll<SwitchListed>(client, '/v1/switches'));
  const ids = alive.filter(({ name }) => name === word).map(({ id }) => id);
  const [id, ...others] = ids;
  if (id === undefined)
    throw new SluiceError(
      'not_found',
      `there is no switch ${word}`,
      'sluice switch list shows what there is',
    );
  if (others.length > 0)
    throw new SluiceError(
      'conflict',
      `${ids.length} switches are called ${word}`,
      `say which one: ${ids.join(', ')}`,
    );
  return id;
}
