/** Storage of a cluster in a simulated world: nodes that die at any step, Gluster that refuses, a server that keeps the records. */
import type { Ipv4 } from '../../model/addresses.ts';
import type { ClusterNode } from '../../model/cluster.ts';
import { SluiceError } from '../../model/errors.ts';
import { silentLog } from '../../model/log.ts';
import type { NodeName, TenantName, VolumeName } from '../../model/names.ts';
import {
  type Brick,
  glusterName,
  type Layout,
  replicaSetsOf,
  type Volume,
  type VolumeId,
} from '../../model/volume.ts';
import type { BrickReport, VolumeReport } from '../../model/volume-report.ts';
import { brickKey, type NodeStorage } from '../../orchestrator/server/volume-reports.ts';
import { nextStep, type StorageWorld as ServerWorld } from '../../orchestrator/server/volume-steps.ts';
import type {
  BrickKeeper,
  GlusterCluster,
  GlusterDaemon,
  GlusterVolume,
  HeldBrick,
  NewGlusterVolume,
} from '../../storaged/contract.ts';
import { StorageKeeper } from '../../storaged/keeper.ts';
import { lazyParts } from '../../storaged/parts.ts';

const GIB = 2 ** 30;
export const NODES = ['a', 'b', 'c', 'd'] as NodeName[];
export const FOREIGN = 'data';

/** A turn is a minute to the nodes, so that they try again; the server gives up after one. */
const SERVER_PACE = 1 / 100;

const MEMBERS = new Map(
  NODES.map((node) => [node, { node, uplinkAddress: addressOf(node), fenced: false } as ClusterNode]),
);

interface Disk {
  readonly bricks: Map<string, HeldBrick>;
}

/** One run of storaged on a node; its death is that of the process, and what it held in mind is gone. */
class Run {
  readonly keeper: StorageKeeper;
  alive = true;
  /** So many steps are taken before it dies; undefined: it lives. */
  fuse: number | undefined;
  steps = 0;

  constructor(world: StorageWorld, node: NodeName) {
    const step = <T>(work: () => T): T => {
      if (!this.alive) throw new SluiceError('unreachable', 'it is dead', '');
      if (this.fuse !== undefined && this.steps >= this.fuse) {
        this.alive = false;
        void this.keeper.stop();
        throw new SluiceError('unreachable', 'it has just died', '');
      }
      this.steps += 1;
      return work();
    };
    const parts = lazyParts({
      gluster: async () => ({ daemon: world.daemon(node), cluster: world.gluster(node, step) }),
      bricks: async (gluster) => {
        await gluster();
        return world.keeperOf(node, step);
      },
      mounts: () => Promise.reject(new Error('nothing is mounted here')),
    });
    this.keeper = new StorageKeeper({
      ...{ node, parts, log: silentLog, checkpoint: () => step(() => undefined), news: () => undefined },
      view: () => ({ revision: world.revision, volumes: world.records, nodes: MEMBERS }),
      told: async ({ id, bricks }) => bricks.map((brick, index) => world.reportOf(brick.node, id, index)),
      optionsOf: ({ hosts }) => ({ 'auth.allow': hosts.join(',') || 'nobody' }),
      now: () => world.now,
    });
  }
}

export class StorageWorld {
  readonly records = new Map<VolumeId, Volume>();
  readonly volumes = new Map<string, GlusterVolume>([
    [FOREIGN, { name: FOREIGN, state: 'started', bricks: [], options: {} }],
  ]);
  now = 0;
  /** What nobody may ever do, and somebody did. */
  readonly crimes: string[] = [];
  /** What was done to bricks or to Gluster, by anybody. */
  changes = 0;
  readonly #disks = new Map<NodeName, Disk>(NODES.map((node) => [node, { bricks: new Map() }]));
  readonly #runs = new Map<NodeName, Run>();
  readonly #away = new Set<NodeName>();
  readonly #full = new Set<NodeName>();
  readonly #peers = new Set<NodeName>();
  readonly #told = new Map<NodeName, NodeStorage>();
  readonly #written = new Map<VolumeId, number>();
  #revision = 0;
  #made = 0;

  constructor() {
    for (const node of NODES) this.revive(node);
  }

  get revision(): number {
    return this.#revision;
  }

  /** The machine is gone, glusterd with it. */
  powerOff(node: NodeName): void {
    this.#away.add(node);
    this.kill(node);
  }

  kill(node: NodeName): void {
    const run = this.#runs.get(node);
    if (run !== undefined) run.alive = false;
    void run?.keeper.stop();
    this.#told.delete(node);
  }

  revive(node: NodeName): void {
    this.#away.delete(node);
    if (this.#runs.get(node)?.alive !== true) this.#runs.set(node, new Run(this, node));
  }

  dieAfter(node: NodeName, steps: number): void {
    const run = this.#runs.get(node);
    if (run !== undefined) run.fuse = run.steps + steps;
  }

  fill(node: NodeName, full: boolean): void {
    if (full) this.#full.add(node);
    else this.#full.delete(node);
  }

  /** One round on a node, and what it tells the server of it. */
  async round(node: NodeName): Promise<void> {
    const run = this.#runs.get(node);
    if (run?.alive !== true || this.#away.has(node)) return;
    await run.keeper.runNow();
    if (!run.alive) {
      this.#told.delete(node);
      return;
    }
    const bricks = run.keeper.bricks().map((one) => [brickKey(one.volume, one.index), one] as const);
    const volumes = run.keeper
      .volumes()
      .map((one): [VolumeId, VolumeReport] => [one.volume, { ...one, online: [], fill: null, heal: null }]);
    this.#told.set(node, {
      ...{ node, revision: run.keeper.revision(), pool: null, address: addressOf(node), mounts: [] },
      ...{ bricks: new Map(bricks), volumes: new Map(volumes), at: 0, silentMs: 0, reachable: true },
    });
  }

  create(layout: Layout): void {
    this.#made += 1;
    const id = `v${this.#made.toString(16).padStart(12, '0')}` as VolumeId;
    const count = { single: 1, 'two-by-two': 4, 'replica-3': 3, arbiter: 3 }[layout];
    this.#write({
      ...{ id, tenant: 'blue' as TenantName, name: `v${this.#made}` as VolumeName, phase: 'creating' },
      ...{ sizeBytes: 2 * GIB, inodes: null, layout, thin: false, limits: {}, nodeLimits: {}, hosts: [] },
      bricks: Array.from({ length: count }, (_, place) => {
        const node = NODES[(this.#made + place) % NODES.length] as NodeName;
        const role = layout === 'arbiter' && place === 2 ? 'arbiter' : 'data';
        return { node, address: addressOf(node), role, bytes: GIB };
      }),
      ...{
        coordinator: NODES[this.#made % NODES.length] as NodeName,
        generation: 1,
        removeAt: null,
        createdAt: this.now * SERVER_PACE,
      },
    });
  }

  change(id: VolumeId, with_: Partial<Volume>): void {
    const volume = this.records.get(id);
    if (volume !== undefined) this.#write({ ...volume, ...with_, generation: volume.generation + 1 });
  }

  /** To a node that has nothing of the same set; there need not be one. */
  move(id: VolumeId, index: number): void {
    const volume = this.records.get(id);
    const set = volume && replicaSetsOf(volume).find((one) => one.includes(volume.bricks[index] as Brick));
    const to = NODES.find((node) => !set?.some((brick) => brick.node === node));
    if (volume?.phase !== 'ready' || set === undefined || set.length === 1 || to === undefined) return;
    const moved = { node: to, address: addressOf(to) };
    const bricks = volume.bricks.map((brick, at) => (at === index ? { ...brick, ...moved } : brick));
    this.change(id, { bricks });
  }

  /** What the server makes of nodes' reports. */
  serve(): void {
    for (const volume of [...this.records.values()]) this.#serveOne(volume);
  }

  /** Bricks that are on any disk. */
  bricks(): HeldBrick[] {
    return [...this.#disks.values()].flatMap(({ bricks }) => [...bricks.values()]);
  }

  putStray(node: NodeName, volume: VolumeId): void {
    const stray = {
      volume,
      index: 0,
      bytes: GIB,
      inodes: null,
      thin: false,
      path: '/b/stray',
      mounted: true,
      fill: null,
    };
    this.#disks.get(node)?.bricks.set(`${volume}/0`, stray);
  }

  reportOf(node: NodeName, id: VolumeId, index: number): BrickReport | undefined {
    return this.#told.get(node)?.bricks.get(brickKey(id, index));
  }

  /** As the server itself does it. */
  #serveOne(one: Volume): void {
    const world: ServerWorld = {
      now: this.now * SERVER_PACE,
      nodes: MEMBERS,
      told: (node) => this.#told.get(node),
      silentMs: (node) => (this.#told.has(node) ? 0 : Number.POSITIVE_INFINITY),
      idleMs: () => 0,
    };
    const step = nextStep({ one, revision: this.#written.get(one.id) ?? 0 }, undefined, world);
    if (step === undefined) return;
    if (step.to === null) this.records.delete(one.id);
    else this.#write(step.to);
  }

  #write(volume: Volume): void {
    this.#revision += 1;
    this.#written.set(volume.id, this.#revision);
    this.records.set(volume.id, volume);
  }

  daemon(node: NodeName): GlusterDaemon {
    const refuse = (): Promise<never> => Promise.reject(new Error('not simulated'));
    return {
      address: addressOf(node),
      ensure: async () => undefined,
      isAlive: () => !this.#away.has(node),
      inside: (argv) => argv,
      holder: () => undefined,
      serving: () => new Set(),
      ...{ brickRoot: '/b', kept: '/nowhere' },
      died: refuse,
      stop: refuse,
    };
  }

  keeperOf(node: NodeName, step: <T>(work: () => T) => T): BrickKeeper {
    const { bricks } = this.#disks.get(node) as Disk;
    return {
      held: async () => step(() => [...bricks.values()]),
      ensure: async (wanted) => {
        if (this.#full.has(node)) throw new SluiceError('refused', 'the pool has no room', '');
        const key = `${wanted.volume}/${wanted.index}`;
        const held = { ...wanted, path: `/b/${key}`, mounted: false, fill: null };
        // Half-made first: the image is there, and nothing is mounted.
        step(() => this.#did(() => bricks.set(key, held)));
        return step(() => {
          bricks.set(key, { ...held, mounted: true });
          return { ...held, mounted: true };
        });
      },
      remove: async (volume, index) => {
        const path = `${addressOf(node)}:${bricks.get(`${volume}/${index}`)?.path}`;
        const present = this.volumes.get(glusterName(volume));
        const known = present?.bricks.some(({ name }) => name === path) === true;
        if (known) this.crimes.push('a brick was taken away under a volume');
        step(() => this.#did(() => bricks.delete(`${volume}/${index}`)));
      },
      pool: async () => ({ totalBytes: 0, promisedBytes: 0, freeBytes: 0 }),
    };
  }

  gluster(node: NodeName, step: <T>(work: () => T) => T): GlusterCluster {
    const change = (name: string, with_: Partial<GlusterVolume>): void => {
      const present = this.volumes.get(name);
      if (present === undefined) throw new SluiceError('storage_failed', `Volume ${name} does not exist`, '');
      this.#did(() => this.volumes.set(name, { ...present, ...with_ }));
    };
    const requireAll = (bricks: readonly { readonly name: string }[]): void => {
      const absent = bricks.find(({ name }) => this.#away.has(nodeAt(name)));
      if (absent !== undefined) throw new SluiceError('storage_failed', `${absent.name} is down`, '');
    };
    return {
      peers: async () =>
        step(() =>
          [...this.#peers]
            .filter((peer) => peer !== node)
            .map((peer) => ({
              ...{ address: addressOf(peer), uuid: peer, joined: true, connected: !this.#away.has(peer) },
            })),
        ),
      members: async () =>
        step(() => [...this.#peers].filter((peer) => peer !== node).map((peer) => addressOf(peer))),
      probe: async (address) => {
        const peer = nodeAt(address);
        if (this.#away.has(peer)) throw new SluiceError('storage_failed', 'the peer is down', '');
        step(() => this.#peers.add(peer).add(node));
      },
      detach: async () => undefined,
      volumes: async () => step(() => [...this.volumes.values()]),
      create: async (wanted, options) => {
        const bricks = wanted.bricks.map((name) => ({ name, arbiter: false }));
        requireAll(bricks);
        if (!this.#hasBricks(wanted)) this.crimes.push('a volume was made of bricks that are not there');
        step(() =>
          this.#did(() =>
            this.volumes.set(wanted.name, { name: wanted.name, state: 'created', bricks, options: {} }),
          ),
        );
        step(() => change(wanted.name, { options }));
      },
      revive: async () => undefined,
      replace: async (name, from, to) => {
        requireAll([{ name: to }]);
        if (!this.#isThere(to)) this.crimes.push('a brick was replaced by one that is not there');
        const { bricks = [], state } = this.volumes.get(name) ?? {};
        if (state !== 'started') throw new SluiceError('storage_failed', `${name} is not started`, '');
        step(() =>
          change(name, {
            bricks: bricks.map((brick) => (brick.name === from ? { ...brick, name: to } : brick)),
          }),
        );
      },
      start: async (name) => step(() => change(name, { state: 'started' })),
      stop: async (name) => step(() => change(name, { state: 'stopped' })),
      delete: async (name) => {
        requireAll(this.volumes.get(name)?.bricks ?? []);
        step(() => this.#did(() => this.volumes.delete(name)));
      },
      set: async (name, options) =>
        step(() => change(name, { options: { ...this.volumes.get(name)?.options, ...options } })),
      status: async () => [],
      heal: async () => undefined,
      healInfo: async () => ({ pending: 0, splitBrain: 0 }),
    };
  }

  #hasBricks({ bricks }: NewGlusterVolume): boolean {
    return bricks.every((name) => this.#isThere(name));
  }

  #isThere(name: string): boolean {
    const [, path] = name.split(':');
    return [...(this.#disks.get(nodeAt(name))?.bricks.values() ?? [])].some(
      (one) => one.mounted && one.path === path,
    );
  }

  #did(change: () => void): void {
    this.changes += 1;
    change();
  }
}

function addressOf(node: NodeName): Ipv4 {
  return `192.0.2.${NODES.indexOf(node) + 1}` as Ipv4;
}

function nodeAt(place: string): NodeName {
  return NODES[Number(/^192\.0\.2\.(\d+)/.exec(place)?.[1]) - 1] as NodeName;
}
