/**
 * A keeper of mounts in a process of its own, which a test kills: it mounts, unmounts, and says when it is done. It dies
 * by itself before or after the Nth time that it writes something down.
 */

import { silentLog } from '../../model/log.ts';
import { openMountKeeper } from '../../storaged/mounts/keeper.ts';
import type { Store } from '../../store/contract.ts';
import { openParts, openStore, wishOf } from './volume-site.ts';

interface Orders {
  readonly directory: string;
  /** A process of the container. */
  readonly into: number;
  /** Which transaction, from 0; half a step more: behind it; null: never. */
  readonly dieAt: number | null;
}

const { directory, into, dieAt } = JSON.parse(process.argv[2] ?? '') as Orders;

function mortal(store: Store): Store {
  let count = 0;
  return {
    ...{ get: store.get.bind(store), list: store.list.bind(store), watch: store.watch.bind(store) },
    ...{ grantLease: store.grantLease.bind(store), keepLease: store.keepLease.bind(store) },
    ...{ revokeLease: store.revokeLease.bind(store), close: store.close.bind(store) },
    async txn(txn) {
      const number = count++;
      if (number === dieAt) process.kill(process.pid, 'SIGKILL');
      const result = await store.txn(txn);
      if (number + 0.5 === dieAt) process.kill(process.pid, 'SIGKILL');
      return result;
    },
  };
}

const { daemon: _, shares: __, ...parts } = await openParts(directory);
const keeper = await openMountKeeper({ ...parts, store: mortal(openStore(directory)), log: silentLog });
const { id } = await keeper.mount(wishOf('mortal', { into: { pid: into, directory: '/made/data' } }));
await keeper.unmount(id);
await keeper.close();
process.exit(0);
