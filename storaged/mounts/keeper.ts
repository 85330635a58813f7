/**
 * Mounts of shared volumes on this node: one Gluster client for each container and volume, watched, and replaced in
 * place when it dies (docs/mounts.md). A request is recorded, carried out, confirmed. After a restart what was begun is
 * undone, and what was confirmed is made whole; whatever is not on record goes.
 */
import { ensurePrivateDirectory } from '../../linux/host-points.ts';
import { SluiceError } from '../../model/errors.ts';
import type { LimitField, Limits } from '../../model/limits.ts';
import type { Log } from '../../model/log.ts';
import { type MountId, MountRequest } from '../../model/volume.ts';
import type { MountStatistics, VolumeEvent } from '../../model/volume-report.ts';
import type { Store } from '../../store/contract.ts';
import type { Mount, MountKeeper, MountWish } from '../contract.ts';
import type { ClientSetup } from './client.ts';
import type { Wanted } from './jobs.ts';
import { differing } from './limits-text.ts';
import { clientIdOf, hostPathOf, mountIdOf } from './names.ts';
import { type KeptMount, type MountRecords, openMountRecords } from './records.ts';
import { checkMountDirectory } from './system-directories.ts';
import { takeOver } from './takeover.ts';
import { Watchdog } from './watchdog.ts';
import { type Watched, WatchedClients } from './watched.ts';
import { MountWork } from './work.ts';

export interface MountKeeperOptions extends Omit<ClientSetup, 'timeoutSeconds'> {
  readonly store: Store;
  readonly log: Log;
  readonly onEvent?: (event: VolumeEvent) => void;
  /** How long the kernel believes attributes and names of a volume, in seconds; default 1. */
  readonly timeoutSeconds?: number;
}

/** @throws SluiceError `store_failed` */
export async function openMountKeeper(options: MountKeeperOptions): Promise<MountKeeper> {
  ensurePrivateDirectory(options.places.hostDir);
  const keeper = new Keeper(options, await openMountRecords(options.store));
  await keeper.begin();
  return keeper;
}

class Keeper implements MountKeeper {
  readonly #setup: ClientSetup;
  readonly #records: MountRecords;
  readonly #clients: WatchedClients;
  readonly #work: MountWork;
  readonly #watchdog: Watchdog;
  /** Under way, and perhaps on no record yet. */
  readonly #asked = new Set<Pick<Wanted, 'id' | 'request'>>();

  constructor(options: MountKeeperOptions, records: MountRecords) {
    const { places, gluster, servers, parents, timeoutSeconds = 1, log, onEvent } = options;
    const ended = (): void => this.#watchdog.wake();
    const clients = new WatchedClients({ places, gluster, servers, parents, timeoutSeconds }, (id) =>
      records.clients.has(id),
    );
    this.#setup = { places, gluster, servers, parents, timeoutSeconds };
    this.#records = records;
    this.#clients = clients;
    this.#work = new MountWork({ records, clients, log, onEvent, ended });
    const canAsk = parents !== undefined;
    this.#watchdog = new Watchdog({ records, clients, work: this.#work, canAsk, log });
  }

  async begin(): Promise<void> {
    const { places } = this.#setup;
    await takeOver({ places, records: this.#records, clients: this.#clients, work: this.#work });
    this.#watchdog.start();
  }

  async mount(wish: MountWish): Promise<Mount> {
    const request = MountRequest.parse(requestOf(wish));
    if (request.into !== null) checkMountDirectory(request.into.directory);
    const { places } = this.#setup;
    const id = mountIdOf(places, request);
    this.#checkFree(id, request);
    const watched = this.#clients.of(clientIdOf(places, request), request.volume);
    const asked = { id, request };
    this.#asked.add(asked);
    try {
      return await this.#clients.oneByOne(watched, async () => {
        await this.#work.add(watched, id, request, wish);
        return this.#shown(id);
      });
    } finally {
      this.#asked.delete(asked);
    }
  }

  /** Two mounts at one place would hide each other. */
  #checkFree(id: MountId, { container, into }: MountRequest): void {
    if (into === null) return;
    const recorded = [...this.#records.mounts].map(([one, { request }]) => ({ id: one, request }));
    const other = [...recorded, ...this.#asked].find(
      ({ id: one, request }) =>
        one !== id && request.container === container && request.into?.directory === into.directory,
    );
    if (other === undefined) return;
    throw new SluiceError(
      'conflict',
      `the container has something else mounted at ${into.directory}: mount ${other.id}`,
      'unmount that first, or name another directory',
    );
  }

  async unmount(id: MountId): Promise<void> {
    const kept = this.#records.mounts.get(id);
    if (kept === undefined) return;
    const watched = this.#clients.of(kept.client, kept.request.volume);
    await this.#clients.oneByOne(watched, () => this.#work.end(id));
  }

  mounts(): readonly Mount[] {
    return [...this.#records.mounts.keys()].map((id) => this.#shown(id));
  }

  #shown(id: MountId): Mount {
    const kept = this.#records.mounts.get(id);
    const client = kept && this.#records.clients.get(kept.client);
    if (kept === undefined || client === undefined) throw noMount(id);
    const watched = this.#clients.find(kept.client);
    const isServed = kept.phase === 'ready' && watched?.client.isAlive() === true && !watched.dead.has(id);
    return {
      ...kept.request,
      ...{ id, tenant: client.tenant, sizeBytes: kept.sizeBytes, effective: client.limits },
      hostPath: hostPathOf(this.#setup.places, id),
      state: isServed ? 'mounted' : 'broken',
      replaced: client.replaced,
    };
  }

  async setLimits(
    id: MountId,
    limits: Limits,
  ): Promise<readonly { readonly field: LimitField; readonly why: string }[]> {
    const { watched, kept } = this.#known(id);
    return this.#clients.oneByOne(watched, async () => {
      const client = this.#records.clients.get(kept.client);
      if (client === undefined) throw noMount(id);
      await this.#records.put({ client: [kept.client, { ...client, limits }] });
      if (this.#setup.parents === undefined) return unheld(limits);
      await watched.client.setLimits(limits);
      const held = (await watched.client.statistics()).limits;
      const why = 'the client was told and holds another value';
      return differing(limits, held).map((field) => ({ field, why }));
    });
  }

  async statistics(id: MountId): Promise<MountStatistics> {
    const { watched } = this.#known(id);
    if (!watched.client.isAlive())
      throw new SluiceError('storage_failed', 'the client is dead', 'it is being replaced; try again');
    return watched.client.statistics();
  }

  #known(id: MountId): { readonly watched: Watched; readonly kept: KeptMount } {
    const kept = this.#records.mounts.get(id);
    const watched = kept && this.#clients.find(kept.client);
    if (kept === undefined || watched === undefined) throw noMount(id);
    return { watched, kept };
  }

  async keepOnly(isAlive: (mount: Mount) => boolean): Promise<void> {
    const ended = this.mounts().filter((mount) => !isAlive(mount));
    await Promise.all(
      ended.map(({ id }) =>
        this.unmount(id).catch((error: unknown) => this.#work.complain('a mount cannot be ended', id, error)),
      ),
    );
  }

  async close(): Promise<void> {
    await this.#watchdog.stop();
    await this.#clients.quiet();
  }
}

function requestOf(wish: MountWish): MountRequest {
  const { volume, container, subDirectory, readOnly, limits, into } = wish;
  return { volume, container, subDirectory, readOnly, limits, into };
}

function noMount(id: MountId): SluiceError {
  return new SluiceError(
    'not_found',
    `there is no mount ${id}`,
    'sluice volume show lists a volume with its mounts',
  );
}

function unheld(limits: Limits): { readonly field: LimitField; readonly why: string }[] {
  const why = 'this node runs its Gluster clients without the translator that holds limits';
  return differing(limits, {}).map((field) => ({ field, why }));
}
