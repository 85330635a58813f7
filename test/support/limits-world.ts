/** A node's limits in a simulated world: clocks that can be moved, a kernel that can refuse, a store that outlives netd. */
import type { Moment } from '../../linux/clock.ts';
import type { ClusterView } from '../../model/cluster.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import { CGROUP_FIELDS, type CgroupField, type Limits } from '../../model/limits.ts';
import { silentLog } from '../../model/log.ts';
import { type ContainerId, type IfName, NodeName } from '../../model/names.ts';
import { NO_DEFAULTS, type TenantPlan } from '../../model/plan.ts';
import type { Switch, SwitchId } from '../../model/switch.ts';
import type { Volume } from '../../model/volume.ts';
import { LimitsKeeper } from '../../netd/limits/keeper.ts';
import { openSwitches } from '../../netd/limits/open-switches.ts';
import { openLimitRecords } from '../../netd/limits/records.ts';
import type {
  CgroupKeeper,
  CgroupLimits,
  ContainerCgroup,
  NodeRates,
  RateKeeper,
} from '../../qos/contract.ts';
import type { Store } from '../../store/contract.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { NODE_A, SETTINGS } from './samples.ts';
import { aVolumeId, Died, SimulatedStoraged } from './simulated-storaged.ts';

export const NOON = Date.UTC(2030, 10, 11, 11, 11);
export const HOUR = 3_600_000;

/** What a new group has, as a runtime that sets nothing leaves it. */
const ORDINARY: CgroupLimits = {
  ...Object.fromEntries(CGROUP_FIELDS.map((field) => [field, null])),
  ...{ 'cpu.weight': 100, 'block.weight': 100, 'cpu.burst': 0, 'cpu.set': '0-1' },
};

export class SimulatedKernel {
  readonly groups = new Map<ContainerId, CgroupLimits>();
  rates: NodeRates = { ports: [], tenants: [] };
  /** Fields that it refuses to write. */
  readonly refuses = new Set<CgroupField>();
  refusesRates = false;
  readonly kills = new Map<ContainerId, number>();
  writes = 0;
  /** Memory that is in use: a limit below it is not had. */
  used = 0;
  attempts = 0;
  /** What a write waits for. */
  slow: Promise<void> = Promise.resolve();
  /** Thrown by the next write, after it was done: the process dies there. */
  dieAfterWrite = false;

  makeGroup(container: ContainerId, limits: CgroupLimits = {}): void {
    this.groups.set(container, { ...ORDINARY, ...limits });
  }

  readonly cgroups: CgroupKeeper = {
    version: 2,
    find: ({ containerId }) =>
      Promise.resolve(this.groups.has(containerId) ? groupNamed(containerId) : undefined),
    read: (group) => Promise.resolve({ ...this.#group(group) }),
    apply: async (group, wanted) => {
      await this.slow;
      const before = this.#group(group);
      const refused = Object.keys(wanted).find((field) => this.refuses.has(field as CgroupField));
      if (refused !== undefined)
        return Promise.reject(new SluiceError('kernel_refused', `${refused} was refused`, 'ask for less'));
      this.attempts += 1;
      const { memory } = wanted;
      const short = typeof memory === 'number' && memory < this.used;
      const set = short ? { ...wanted, memory: this.used } : wanted;
      this.groups.set(nameOf(group), { ...before, ...set });
      this.writes += 1;
      if (this.dieAfterWrite) return Promise.reject(new Died());
      const why = 'it is in use';
      return Promise.resolve(short ? [{ field: 'memory', wanted: memory, kernel: this.used, why }] : []);
    },
    statistics: (group) =>
      Promise.resolve({
        ...{
          cpuSeconds: 0,
          throttledSeconds: 0,
          throttledPeriods: 0,
          memoryBytes: 0,
          pids: 1,
          pidsRefused: 0,
        },
        ...{ oomKills: this.kills.get(nameOf(group)) ?? 0, blockWaits: null },
      }),
  };

  readonly rateKeeper: RateKeeper = {
    apply: (wanted) => {
      if (this.refusesRates)
        return Promise.reject(new SluiceError('kernel_refused', 'no tree of rates', 'look at dmesg'));
      this.rates = structuredClone(wanted) as NodeRates;
      this.writes += 1;
      return Promise.resolve(new Map());
    },
    read: () => Promise.resolve(structuredClone(this.rates) as NodeRates),
    statistics: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  };

  #group(group: ContainerCgroup): CgroupLimits {
    const limits = this.groups.get(nameOf(group));
    if (limits === undefined) throw new SluiceError('not_found', 'the control group is gone', 'it has ended');
    return limits;
  }

  /** Of one port; null for both where it is unlimited. */
  ratesOf(hostIf: IfName): { readonly in: number | null; readonly out: number | null } {
    const port = this.rates.ports.find((one) => one.hostIf === hostIf);
    return { in: port?.in ?? null, out: port?.out ?? null };
  }
}

function groupNamed(container: ContainerId): ContainerCgroup {
  return { version: 2, paths: new Map([['memory', `/${container}`]]), pid: 1 };
}

function nameOf({ paths }: ContainerCgroup): ContainerId {
  return (paths.get('memory') ?? '').slice(1) as ContainerId;
}

export class SimulatedNode {
  readonly store = openMemoryStore();
  readonly kernel = new SimulatedKernel();
  readonly storaged = new SimulatedStoraged();
  readonly endpoints = new Map<string, Endpoint>();
  now: Moment = { wall: NOON, boot: 1_000_000, bootId: 'boot-1' };
  keeper!: LimitsKeeper;
  /** Whether nothing can be written down about switches. */
  diskFull = false;
  lateOnes = 0;
  view: ClusterView = {
    ...{ revision: 1, settings: SETTINGS, tenants: new Map(), nodes: new Map([[NODE_A.node, NODE_A]]) },
    ...{ namespaces: new Map(), guards: new Map(), plans: new Map(), defaults: NO_DEFAULTS },
    switches: new Map(),
    volumes: new Map(),
  };

  static async start(): Promise<SimulatedNode> {
    const node = new SimulatedNode();
    await node.restart();
    return node;
  }

  /** netd begins from what is in the store. */
  async restart(): Promise<void> {
    this.storaged.forget();
    this.keeper = new LimitsKeeper({
      node: NodeName.parse('a'),
      ...{
        cgroups: this.kernel.cgroups,
        volumes: this.storaged.keeper,
        rates: () => this.kernel.rateKeeper,
        log: silentLog,
        late: () => (this.lateOnes += 1),
      },
      records: await openLimitRecords(this.store),
      switches: await openSwitches(this.#switchStore(), () => this.now, silentLog),
      now: () => this.now.wall,
      capacity: () => ({ cpu: 4, memory: 2 ** 34, uplink: null }),
      view: () => this.view,
      endpoints: () => [...this.endpoints.values()],
    });
  }

  #switchStore(): Store {
    const { store } = this;
    const txn: Store['txn'] = (what) =>
      this.diskFull
        ? Promise.reject(new SluiceError('store_failed', 'the disk is full', 'make room'))
        : store.txn(what);
    return { ...store, list: (prefix) => store.list(prefix), txn };
  }

  /** As the daemon does: looks at the clocks, searches, settles. */
  async round(full = false): Promise<void> {
    await this.keeper.look();
    for (const endpoint of this.keeper.unfound()) await this.keeper.seek(endpoint);
    await this.keeper.settle(full);
    await this.keeper.writeDown();
  }

  /** Real time goes on; the wall clock may be moved besides. */
  pass(ms: number, jump = 0): void {
    this.now = { ...this.now, wall: this.now.wall + ms + jump, boot: this.now.boot + ms };
  }

  /** The kernel begins anew; the containers come back with what their runtime gives them. */
  async reboot(downMs: number, boot: string, runtime: (id: ContainerId) => CgroupLimits): Promise<void> {
    this.now = { wall: this.now.wall + downMs, boot: 0, bootId: boot };
    this.kernel.rates = { ports: [], tenants: [] };
    for (const id of this.kernel.groups.keys()) this.kernel.makeGroup(id, runtime(id));
    await this.restart();
  }

  attach(endpoint: Endpoint, runtime: CgroupLimits = {}): void {
    this.endpoints.set(`${endpoint.containerId}/${endpoint.ifName}`, endpoint);
    this.kernel.makeGroup(endpoint.containerId, runtime);
  }

  open(one: Switch): void {
    this.#see({ switches: new Map(this.view.switches).set(one.id, one) });
  }

  close(id: SwitchId): void {
    this.#see({ switches: new Map([...this.view.switches].filter(([key]) => key !== id)) });
  }

  plan(plan: TenantPlan): void {
    this.#see({ plans: new Map(this.view.plans).set(plan.tenant, plan) });
  }

  /** The volume with that number. */
  volume(n: number, limits: Limits): void {
    const volume = { id: aVolumeId(n), name: `data-${n}`, tenant: 'blue', limits } as unknown as Volume;
    this.#see({ volumes: new Map(this.view.volumes).set(volume.id, volume) });
  }

  defaults(container: Limits): void {
    this.#see({ defaults: { ...NO_DEFAULTS, container } });
  }

  #see(change: Partial<ClusterView>): void {
    this.view = { ...this.view, ...change, revision: this.view.revision + 1 };
  }
}

/** A switch that is open from noon for an hour, unless something else is said. */
export function aSwitch(id: string, changes: Switch['changes'], more: Partial<Switch> = {}): Switch {
  return {
    id: `sw-${id.padEnd(8, '0')}` as SwitchId,
    ...{ name: id, select: {}, changes, percent: 100, priority: 0, from: NOON, until: NOON + HOUR },
    ...{ repeat: null, reason: 'a test', mayKill: false, squeezeFor: null, openedBy: 'root', openedAt: NOON },
    ...{ approval: null, closed: null },
    ...more,
  };
}
