/** `sluice storaged`: shared volumes of this node, in the foreground. */
import { once } from 'node:events';
import { SluiceError } from '../../model/errors.ts';
import { PRIVATE_ADDRESS } from '../../storaged/gluster/namespaces.ts';
import { runStoraged } from '../../storaged/main.ts';
import { partMakers, storageStoreOf } from '../../storaged/open-parts.ts';
import { recoverHere } from '../../storaged/recovery.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { requireUplink } from '../node-options.ts';
import { poolOf, storageChoice } from '../storage-choice.ts';
import { translatorPieces } from '../translator-pieces.ts';
import { failPoints } from './fail-point.ts';
import { runRole } from './role.ts';
import { clientOfServer } from './server-client.ts';
import { uplinkAddress } from './uplink-address.ts';

export function storaged(args: readonly string[]): Promise<number> {
  return runRole('storaged', args, async (role) => {
    const { places, config, node, log, signal } = role;
    const { volumes, bricks, network } = storageChoice(role);
    if (!volumes) throw needless();
    const isPrivate = network === 'private';
    const address = isPrivate ? null : await uplinkAddress(requireUplink(role));
    const server = clientOfServer(role);
    const checkpoint = failPoints(process.env['SLUICE_FAIL_POINTS']);
    const pool = bricks ? poolOf(places, config.storage) : undefined;
    const { storage } = config;
    const running = await runStoraged({
      ...{ node, server, checkpoint, log, isPrivate, runDir: places.runDir },
      tls: storage.tls !== undefined,
      // Durable enough: what a power cut takes of mounts, it took from the kernel as well.
      store: openSqliteStore(storageStoreOf(places), { durability: 'normal' }),
      parts: (world) =>
        partMakers(
          { ...{ places, address, pool, storage, checkpoint, log }, translator: translatorPieces() },
          world,
        ),
      recover: (wish, known, aborted) =>
        recoverHere(
          { places, address, pool, storage, node, translator: translatorPieces() },
          wish,
          known,
          aborted,
        ),
      address: () => (bricks ? (address ?? PRIVATE_ADDRESS) : undefined),
    });
    if (!signal.aborted) await once(signal, 'abort');
    await running.close();
    server.close();
  });
}

function needless(): SluiceError {
  return new SluiceError(
    'refused',
    'volumes cannot be mounted on this node: storage.volumes is off, or Gluster is not installed',
    'see `sluice doctor`',
  );
}
