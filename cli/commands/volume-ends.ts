/** `sluice volume delete` and `undelete`. */
import type { VolumeShown } from '../../model/volume-request.ts';
import { confirm } from '../ask.ts';
import { show, timeOf } from '../output.ts';
import { pathTo, withServer } from './clients.ts';
import type { Changing, Destroying } from './options.ts';
import { findVolume, VOLUMES } from './volume-find.ts';
import { wouldDo } from './volume-make.ts';
import type { NamedFlags } from './volume-show.ts';
import { shownText } from './volume-text.ts';
import { atFirst, untilReady, type WaitFlags } from './volume-wait.ts';

export async function remove(flags: Destroying & NamedFlags & { readonly now: boolean }): Promise<void> {
  await withServer(flags, async (client) => {
    const { volume } = await findVolume(client, flags.volume, flags.tenant);
    const whole = `delete volume ${volume.name} of tenant ${volume.tenant}`;
    const what = flags.now ? `${whole} with all its data, at once and for good` : whole;
    const path = `${pathTo(VOLUMES, volume.id)}${flags.now ? '?now=1' : ''}`;
    if (flags.dryRun) return wouldDo(flags.json, what, { method: 'DELETE', path });
    await confirm(what, flags.yes);
    const deleted = (await client.request('DELETE', path)) as VolumeShown;
    show(flags.json, deleted, () => deletedText(deleted));
  });
}

/** Until when it can be had back. */
export function deletedText({ volume: { name, id, removeAt } }: VolumeShown): string {
  if (removeAt === null) return `volume ${name} is deleted, and its data with it`;
  return [
    `volume ${name} is deleted; its data is kept until ${timeOf(removeAt)}`,
    `  → sluice volume undelete ${id} brings it back until then`,
  ].join('\n');
}

export async function undelete(flags: Changing & NamedFlags & WaitFlags): Promise<void> {
  await withServer(flags, async (client) => {
    const { volume } = await findVolume(client, flags.volume, flags.tenant);
    const path = pathTo(VOLUMES, volume.id, 'undelete');
    const what = `undelete volume ${volume.name} of tenant ${volume.tenant}`;
    if (flags.dryRun) return wouldDo(flags.json, what, { method: 'POST', path });
    const back = (await client.request('POST', `${path}${atFirst(flags)}`)) as VolumeShown;
    const shown = flags.wait ? await untilReady(client, back, flags) : back;
    show(flags.json, shown, () => shownText(shown));
  });
}
