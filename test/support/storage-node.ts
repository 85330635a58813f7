/** A storage node as the server sees it: it follows the cluster, makes its bricks and gives Gluster's orders at once, in memory. */
import type { ApiClient } from '../../linux/api-client.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { ClusterLine, foldLine, type NodeView } from '../../model/cluster-changes.ts';
import type { ContainerId, NodeName } from '../../model/names.ts';
import type { MountId, Volume, VolumeId } from '../../model/volume.ts';
import type {
  BrickReport,
  Fill,
  MountReport,
  Pool,
  StorageReport,
  VolumeEvent,
  VolumeReport,
} from '../../model/volume-report.ts';

export const GIB = 2 ** 30;

/** What the nodes of a cluster have together. */
export class StorageFabric {
  /** What Gluster knows, on every node the same. */
  readonly gluster = new Map<VolumeId, 'started' | 'stopped'>();
  readonly nodes: StorageNode[] = [];

  readonly #underWay = new Set<Promise<unknown>>();

  async during(request: Promise<unknown>): Promise<void> {
    this.#underWay.add(request);
    await request.finally(() => this.#underWay.delete(request));
  }

  /** Resolves when no report is on its way. */
  async quiet(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  /** As a coordinator hears of it from the server. */
  areReady({ id, bricks }: Volume): boolean {
    return bricks.every(({ node }, index) =>
      this.nodes
        .find((one) => one.node === node)
        ?.bricks.some((brick) => brick.volume === id && brick.index === index && brick.state === 'ready'),
    );
  }
}

export class StorageNode {
  readonly node: NodeName;
  /** Of its pool, bytes. */
  totalBytes = 100 * GIB;
  /** Whether it keeps bricks. */
  hasPool = true;
  /** Why it cannot make or grow a brick. */
  brickFails: string | undefined;
  /** Why Gluster does not do what it is told. */
  glusterFails: string | undefined;
  /** It says nothing, as if it were dead. */
  silent = false;
  /** It follows and says that it does, and does nothing. */
  idle = false;
  mounts: MountReport[] = [];
  events: VolumeEvent[] = [];
  /** Of every volume that it coordinates. */
  more: Partial<VolumeReport> = {};
  readonly #client: ApiClient;
  readonly #address: Ipv4;
  readonly #bricks = new Map<string, BrickReport & { readonly reserved: number; readonly bytes: number }>();
  readonly #fabric: StorageFabric;
  #view: NodeView | undefined;
  #stop = new AbortController();
  #following: Promise<void> | undefined;

  constructor(client: ApiClient, node: string, address: Ipv4, fabric: StorageFabric) {
    this.#client = client;
    this.node = node as NodeName;
    this.#address = address;
    this.#fabric = fabric;
    fabric.nodes.push(this);
  }

  /** Answers every change of the cluster at once, until it is stopped. Resolves after the first report. */
  async follow(): Promise<void> {
    const begun = Promise.withResolvers<void>();
    const stop = new AbortController();
    this.#stop = stop;
    this.#following = (async () => {
      for await (const line of this.#client.stream('/v1/cluster?watch=1', stop.signal)) {
        this.#view = foldLine(this.#view, ClusterLine.parse(line));
        await this.report();
        begun.resolve();
      }
    })().catch(begun.reject);
    await begun.promise;
  }

  get isFollowing(): boolean {
    return this.#following !== undefined;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    const following = this.#following;
    this.#following = undefined;
    await following;
  }

  get bricks(): BrickReport[] {
    return [...this.#bricks.values()].map(({ reserved: _, bytes: __, ...brick }) => brick);
  }

  /** Does what is wanted, then tells. @param changes  of the report that it would send by itself */
  async report(changes: Partial<StorageReport> = {}): Promise<void> {
    if (this.silent) return;
    const had = this.#standing;
    // Twice: what Gluster is told depends on bricks, and bricks go when Gluster has forgotten them.
    for (let turn = 0; turn < 2 && !this.idle; turn++) this.#work();
    const body = { ...this.picture(), ...changes };
    this.events = [];
    await this.#fabric.during(this.#client.request('POST', `/v1/nodes/${this.node}/storage`, body));
    // What another has done may be what one waits for.
    if (had !== this.#standing)
      for (const other of this.#fabric.nodes) if (other !== this) await other.report();
  }

  get #standing(): string {
    return JSON.stringify([[...this.#bricks], [...this.#fabric.gluster]]);
  }

  mount(volume: VolumeId, container: string): MountReport {
    const id = `m${String(this.mounts.length).padStart(12, '0')}` as MountId;
    const one: MountReport = {
      ...{ id, volume, container: container as ContainerId, directory: '/data' },
      ...{ state: 'mounted', replaced: 0, statistics: null },
    };
    this.mounts.push(one);
    return one;
  }

  picture(): StorageReport {
    const own = this.#volumes.filter(({ coordinator }) => coordinator === this.node);
    return {
      node: this.node,
      revision: this.#view?.revision ?? 0,
      pool: this.hasPool ? this.#pool() : null,
      address: this.hasPool ? this.#address : null,
      bricks: this.bricks,
      volumes: own.map((volume) => this.#told(volume)),
      mounts: this.mounts,
      events: this.events,
    };
  }

  get #volumes(): Volume[] {
    return [...(this.#view?.volumes.values() ?? [])];
  }

  #pool(): Pool {
    const bricks = [...this.#bricks.values()];
    const sum = (of: (brick: (typeof bricks)[number]) => number): number =>
      bricks.reduce((total, brick) => total + of(brick), 0);
    return {
      totalBytes: this.totalBytes,
      promisedBytes: sum(({ bytes }) => bytes),
      freeBytes: this.totalBytes - sum(({ reserved }) => reserved),
    };
  }

  #work(): void {
    for (const volume of this.#volumes) {
      this.#order(volume);
      for (const [index, brick] of volume.bricks.entries())
        if (brick.node === this.node) this.#keepBrick(volume, index, brick.bytes);
    }
  }

  #keepBrick(volume: Volume, index: number, bytes: number): void {
    const key = `${volume.id}/${index}`;
    if (volume.phase === 'removing') {
      if (!this.#fabric.gluster.has(volume.id)) this.#bricks.delete(key);
      return;
    }
    const held = this.#bricks.get(key);
    const base = { volume: volume.id, index, generation: volume.generation };
    const fails = this.brickFails !== undefined && (held === undefined || held.bytes < bytes);
    if (fails) {
      const was = held ?? { bytes: 0, reserved: 0, fill: null };
      this.#bricks.set(key, { ...was, ...base, state: 'failed', why: this.brickFails ?? null });
      return;
    }
    this.#bricks.set(key, {
      ...{ ...base, state: 'ready', why: null, bytes, reserved: volume.thin ? 0 : bytes },
      fill: fillOf(bytes, 0),
    });
  }

  #order(volume: Volume): void {
    if (volume.coordinator !== this.node || this.glusterFails !== undefined) return;
    if (volume.phase === 'deleted') this.#fabric.gluster.set(volume.id, 'stopped');
    else if (volume.phase === 'removing') this.#fabric.gluster.delete(volume.id);
    else if (volume.phase === 'ready' || this.#fabric.areReady(volume))
      this.#fabric.gluster.set(volume.id, 'started');
  }

  #told(volume: Volume): VolumeReport {
    const base = { volume: volume.id, generation: volume.generation, why: null };
    const online = volume.bricks.map(() => true);
    const rest = { online, fill: fillOf(volume.sizeBytes, 0), heal: { pending: 0, splitBrain: 0 } };
    if (this.glusterFails !== undefined)
      return { ...base, ...rest, state: 'failed', why: this.glusterFails, ...this.more };
    return { ...base, ...rest, state: this.#fabric.gluster.get(volume.id) ?? 'absent', ...this.more };
  }
}

export function fillOf(totalBytes: number, usedBytes: number): Fill {
  return { totalBytes, freeBytes: totalBytes - usedBytes, totalInodes: 1_000_000, freeInodes: 999_990 };
}
