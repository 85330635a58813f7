/** `sluice storaged`: shared volumes of this node, in the foreground. */
import { once } from 'node:events';
import path from 'node:path';
import type { Ipv4 } from '../../model/addresses.ts';
import { runStoraged } from '../../storaged/main.ts';
import { openParts } from '../../storaged/open-parts.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { requireUplink } from '../node-options.ts';
import { storageChoice } from '../storage-choice.ts';
import { translatorPieces } from '../translator-pieces.ts';
import { failPoints } from './fail-point.ts';
import { runRole } from './role.ts';
import { clientOfServer } from './server-client.ts';
import { uplinkAddress } from './uplink-address.ts';

export function storaged(args: readonly string[]): Promise<number> {
  return runRole('storaged', args, async (role) => {
    const { places, config, node, log, signal } = role;
    const { bricks, network } = storageChoice(role);
    const address: Ipv4 | null = network === 'private' ? null : await uplinkAddress(requireUplink(role));
    const server = clientOfServer(role);
    const checkpoint = failPoints(process.env['SLUICE_FAIL_POINTS']);
    const parts = openParts({
      ...{ places, node, address, bricks, checkpoint, log },
      storage: config.storage,
      translator: translatorPieces(),
    });
    const running = await runStoraged({
      ...{ node, server, parts, checkpoint, log },
      runDir: places.runDir,
      // Durable enough: the server knows better, and tells it anew.
      store: openSqliteStore(path.join(places.stateDir, 'storaged.sqlite'), { durability: 'normal' }),
    });
    if (!signal.aborted) await once(signal, 'abort');
    await running.close();
    server.close();
  });
}
