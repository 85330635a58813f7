/**
 * Keeps the limits of this node's containers: what the algebra says is brought to the kernel, read back, and looked at
 * again. Knows the kernel by qos/contract.ts alone, and no timers (drive.ts): a whole node can run in a simulated world.
 */
import type { ClusterView } from '../../model/cluster.ts';
import { type Endpoint, endpointKey } from '../../model/endpoint.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { Capacity, LimitField, Limits } from '../../model/limits.ts';
import type { LimitEvent, Shortfall } from '../../model/limits-report.ts';
import type { Log } from '../../model/log.ts';
import type { HeldMount } from '../../model/mount-limits.ts';
import type { ContainerId, IfName, NodeName, TenantName, VolumeName } from '../../model/names.ts';
import type { Switch } from '../../model/switch.ts';
import type { CgroupKeeper, CgroupLimits, RateKeeper, VolumeKeeper } from '../../qos/contract.ts';
import { type Desired, type DesiredContainer, type DesiredMount, ratesOf } from '../../qos/desired.ts';
import { planCgroups, sameRate } from '../../qos/plan.ts';
import { CgroupSettler, type CgroupState } from './cgroup-settler.ts';
import { cgroupHolders, hintsOf } from './container.ts';
import { DesiredCache } from './desired-cache.ts';
import { createEvents, type LimitEvents, said } from './events.ts';
import type { OpenSwitches, SwitchTimes } from './open-switches.ts';
import { createTurns } from './parallel.ts';
import { RateSettler } from './rate-settler.ts';
import type { LimitRecords } from './records.ts';
import { restoreCgroup } from './restore.ts';
import { type HolderState, VolumeSettler } from './volume-settler.ts';

/** Everything the keeper acts on and asks. */
export interface LimitsWorld {
  readonly node: NodeName;
  readonly cgroups: CgroupKeeper;
  readonly volumes: VolumeKeeper;
  readonly records: LimitRecords;
  readonly switches: OpenSwitches;
  readonly log: Log;
  /** Unix ms. */
  readonly now: () => number;
  /** Called when there is something to settle that had to wait. */
  late(): void;
  /** undefined until there is something to hold rates with. */
  rates(): RateKeeper | undefined;
  capacity(): Capacity;
  view(): ClusterView | undefined;
  endpoints(): readonly Endpoint[];
}

/** What is known of one container, for reports and for people. */
export interface ContainerPicture {
  readonly endpoint: Endpoint;
  readonly desired: DesiredContainer;
  readonly cgroup: CgroupState;
  readonly mounts: readonly MountPicture[];
  readonly shortfalls: readonly Shortfall[];
  readonly events: readonly LimitEvent[];
}

export interface MountPicture {
  readonly mount: HeldMount;
  /** The tenant's word for its volume. */
  readonly name: VolumeName | null;
  readonly desired: DesiredMount;
  readonly state: HolderState;
}

const NOTHING: Desired = { containers: [], strangers: [], shares: [] };
const NEVER: SwitchTimes = { open: [], left: new Map(), nextMs: Number.POSITIVE_INFINITY };

export class LimitsKeeper {
  readonly #world: LimitsWorld;
  readonly #desires: DesiredCache;
  readonly #events: LimitEvents;
  readonly #cgroups: CgroupSettler;
  readonly rates: RateSettler;
  readonly volumes: VolumeSettler;
  /** Attachments under way whose links are there already. */
  readonly #admitted = new Map<string, Endpoint>();
  readonly #lookInTurn = createTurns();
  #times = NEVER;
  /** Of the cluster, by which the clocks were looked at last. */
  #lookedAt = 0;
  /** What the kernel was brought to last, and by which revision of the cluster. */
  #settled: { readonly desired: Desired; readonly revision: number } = { desired: NOTHING, revision: 0 };

  constructor(world: LimitsWorld) {
    const { node, records, capacity, now, log, cgroups } = world;
    this.#world = world;
    this.#desires = new DesiredCache(node, records, capacity);
    this.#events = createEvents(now, log);
    this.#cgroups = new CgroupSettler({ cgroups, events: this.#events, log, now, late: world.late });
    this.volumes = new VolumeSettler({
      ...{ volumes: world.volumes, log, now, late: world.late },
      drifted: ({ container }, field, was, is) =>
        this.#events.drifted({ container: this.#keyOf(container) ?? container }, field, was, is),
      shareDrifted: (tenant, field, was, is) => this.#events.drifted({ tenant }, `tenant.${field}`, was, is),
    });
    this.rates = new RateSettler({
      ...{ rates: world.rates, now },
      drifted: (hostIf, field, was, is) => {
        const key = this.#ownerOf(hostIf);
        if (key !== undefined) this.#events.drifted({ container: key }, field, was, is);
      },
    });
  }

  /** @returns whether other switches are open than before, and in how many ms that may change again */
  look(): Promise<{ readonly changed: boolean; readonly nextMs: number }> {
    return this.#lookInTurn(async () => {
      const view = this.#world.view();
      if (view === undefined) return { changed: false, nextMs: Number.POSITIVE_INFINITY };
      const before = this.#times.open;
      const times = await this.#world.switches.look(view.switches.values());
      const changed = this.#times === NEVER || !sameSwitches(before, times.open);
      if (changed) this.#tellSwitches(before, times.open);
      this.#times = changed ? times : { ...times, open: before };
      this.#lookedAt = view.revision;
      return { changed, nextMs: times.nextMs };
    });
  }

  /** What looks have found and did not have to wait for: done after what is urgent. */
  writeDown(): Promise<void> {
    return this.#world.switches.writeDown();
  }

  /**
   * Brings the kernel to what holds now. All that is wanted of a container is had, or nothing of it changes: its rates
   * stay when its cgroup refuses, and its cgroup goes back when rates are refused.
   * @param full  whether everything is read first: what somebody else has changed is found by it alone
   */
  async settle(full: boolean): Promise<void> {
    const view = this.#world.view();
    if (view === undefined) return;
    await this.#forgetGone();
    if (full) await Promise.all([this.#cgroups.observe(), this.volumes.observe()]);
    const begun = performance.now();
    // Who has come since the clocks were looked at is not among those that are open.
    const revision = Math.min(view.revision, this.#lookedAt);
    const desired = this.#desired();
    const { done, left } = await this.#cgroups.settle(desired, full);
    const cgroupsMs = Math.round(performance.now() - begun);
    let stays = left;
    try {
      await this.rates.settle(() => this.#desired(), this.#portsOf(left), full ? 'full' : 'after');
    } catch (thrown) {
      const error = asSluiceError(thrown);
      this.#world.log.error({ reason: error.message, hint: error.hint }, 'rates were refused');
      await this.#cgroups.putBack(done, desired, error);
      this.rates.refuse(desired, error);
      stays = this.#refusedBy(left, done, desired);
    }
    await this.volumes.settle(this.#desired(), stays, full);
    this.#settled = { desired, revision };
    const ms = Math.round(performance.now() - begun);
    this.#world.log.debug({ changed: done.length, left: left.size, cgroupsMs, ms }, 'limits settled');
  }

  /** Before a link comes up for the first time: its rates hold from the first packet. @throws SluiceError when they cannot */
  async admit(endpoint: Endpoint): Promise<void> {
    this.#admitted.set(endpointKey(endpoint), endpoint);
    // Right after a start: what switches have changed must not go back for the sake of a new container.
    if (this.#times === NEVER) await this.look();
    const { ports, tenants } = ratesOf(this.#desiredOf(endpoint));
    if (ports.length + tenants.length > 0) await this.rates.settle(() => this.#desired(), new Set(), 'later');
  }

  /**
   * When nothing is left of it; its rates go with the next settling. A container that lives on without its network has
   * no keeper any more: it gets back what its runtime had given it.
   */
  async release(endpoint: Endpoint): Promise<void> {
    const { cgroups, records } = this.#world;
    const key = endpointKey(endpoint);
    const { group } = this.#cgroups.stateOf(key);
    this.#admitted.delete(key);
    this.#cgroups.forget(key);
    if (group !== undefined && !this.#isAttached(endpoint.containerId))
      await restoreCgroup(cgroups, group, records.captured(endpoint.containerId));
    await this.#forgetGone();
  }

  /** What the kernel lacks of an attachment's rates, read from it now. */
  async faultsOf(endpoint: Endpoint): Promise<string[]> {
    const { ports: wanted } = ratesOf(this.#desiredOf(endpoint));
    if (this.#world.rates() === undefined || wanted.length === 0) return [];
    const held = new Map((await this.rates.read()).ports.map((port) => [port.hostIf, port]));
    return wanted.flatMap((port) =>
      sameRate(port, held.get(port.hostIf)) ? [] : [`${port.hostIf} is not held to its rates`],
    );
  }

  /** Those whose cgroup is still to be found. */
  unfound(): readonly Endpoint[] {
    const endpoints = this.#endpoints().filter(({ phase }) => phase === 'ready');
    const holders = cgroupHolders(endpoints);
    return endpoints.filter(
      (one) => holders.has(endpointKey(one)) && this.#cgroups.stateOf(endpointKey(one)).group === undefined,
    );
  }

  /** Looks once. What the runtime has set is written down before anything else can be. @returns whether it was found */
  async seek(endpoint: Endpoint): Promise<boolean> {
    const { cgroups, records } = this.#world;
    await this.#forgetGone();
    const group = await cgroups.find(hintsOf(endpoint));
    if (group === undefined) return false;
    const held = await cgroups.read(group);
    if (records.captured(endpoint.containerId) === undefined)
      await records.capture(endpoint.containerId, endpoint.createdAt, held);
    this.#cgroups.found(endpointKey(endpoint), group, held);
    return true;
  }

  /** What an operator wants for one container alone. It counts from the next settling on. */
  async setOperator({ containerId, createdAt }: Endpoint, limits: Limits): Promise<void> {
    await this.#world.records.setOperator(containerId, createdAt, limits);
  }

  operatorOf({ containerId }: Endpoint): Limits {
    return this.#world.records.operator(containerId);
  }

  pictures(): ContainerPicture[] {
    return this.#picturesOf(this.#desired());
  }

  shares(): Desired['shares'] {
    return this.#desired().shares;
  }

  /** What the kernel was last brought to: what is wanted by now may still be on its way. */
  settledPictures(): ContainerPicture[] {
    return this.#picturesOf(this.#settled.desired);
  }

  settledShares(): Desired['shares'] {
    return this.#settled.desired.shares;
  }

  /** What a tenant's mounts together are not held to. */
  shortfallsOfShare(tenant: TenantName): Shortfall[] {
    const { shortfalls = [] } = this.volumes.shareState(tenant) ?? {};
    return shortfalls.map((one) => ({ ...one, field: `tenant.${one.field}` as const }));
  }

  eventsOfShare(tenant: TenantName): LimitEvent[] {
    return this.#events.ofShare(tenant);
  }

  /** Mounts of containers that are not attached: switches choose them by tenant, node and zone. */
  strangers(): { readonly desired: DesiredContainer; readonly mounts: readonly MountPicture[] }[] {
    return this.#desired().strangers.map((desired) => ({ desired, mounts: this.#mountsOf(desired) }));
  }

  /** How often somebody else's change was found since this process began. */
  drifts(): number {
    return this.#events.drifts();
  }

  /** The revision of the cluster that the kernel was last brought to. */
  revision(): number {
    return this.#settled.revision;
  }

  openNow(): SwitchTimes {
    return this.#times;
  }

  /** From the kernel, now. @returns undefined as long as there is no cgroup */
  async readCgroup(key: string): Promise<CgroupLimits | undefined> {
    const { group } = this.#cgroups.stateOf(key);
    return group && this.#world.cgroups.read(group).catch(() => undefined);
  }

  #picturesOf(desired: Desired): ContainerPicture[] {
    const endpoints = new Map(this.#endpoints().map((one) => [endpointKey(one), one]));
    const { shortfalls } = planCgroups(desired, this.#cgroups.held());
    return desired.containers.flatMap((one) => {
      const endpoint = endpoints.get(one.key);
      return endpoint === undefined ? [] : [this.#picture(endpoint, one, shortfalls.get(one.key) ?? [])];
    });
  }

  #picture(endpoint: Endpoint, desired: DesiredContainer, missing: readonly Shortfall[]): ContainerPicture {
    const cgroup = this.#cgroups.stateOf(desired.key);
    const ofRates = endpoint.nics.flatMap(({ hostIf }) => this.rates.shortfallsOf(hostIf));
    const mounts = this.#mountsOf(desired);
    const shortfalls = [
      ...[...missing, ...cgroup.shortfalls, ...ofRates, ...cappedOf(desired)],
      ...mounts.flatMap(shortfallsOfMount),
    ];
    return { endpoint, desired, cgroup, mounts, shortfalls, events: this.#events.of(desired.key) };
  }

  #mountsOf({ mounts }: DesiredContainer): MountPicture[] {
    const held = mounts.length === 0 ? [] : this.volumes.mounts();
    const volumes = this.#world.view()?.volumes;
    return mounts.flatMap((desired) => {
      const { id, volume } = desired.known;
      const mount = held.find((one) => one.id === id);
      const state = this.volumes.mountState(id);
      if (mount === undefined || state === undefined) return [];
      return [{ mount, name: volumes?.get(volume)?.name ?? null, desired, state }];
    });
  }

  #isAttached(container: ContainerId): boolean {
    return this.#endpoints().some(({ containerId }) => containerId === container);
  }

  #endpoints(): readonly Endpoint[] {
    return this.#world
      .endpoints()
      .filter(
        (one) => one.phase === 'ready' || (one.phase === 'adding' && this.#admitted.has(endpointKey(one))),
      );
  }

  #ownerOf(hostIf: IfName): string | undefined {
    const owner = this.#endpoints().find(({ nics }) => nics.some((nic) => nic.hostIf === hostIf));
    return owner && endpointKey(owner);
  }

  /** The attachment that a container's mounts are told with. */
  #keyOf(container: ContainerId): string | undefined {
    const own = this.#endpoints().filter(({ containerId }) => containerId === container);
    return [...cgroupHolders(own)][0];
  }

  /** Containers of which something else than mounts was refused. */
  #refusedBy(
    left: ReadonlySet<string>,
    done: readonly { readonly key: string }[],
    { containers }: Desired,
  ): ReadonlySet<string> {
    const short = containers.filter(({ ports }) =>
      ports.some(({ hostIf }) => this.rates.shortfallsOf(hostIf).length > 0),
    );
    return new Set([...left, ...[...done, ...short].map(({ key }) => key)]);
  }

  #portsOf(keys: ReadonlySet<string>): ReadonlySet<IfName> {
    const endpoints = keys.size === 0 ? [] : this.#endpoints().filter((one) => keys.has(endpointKey(one)));
    return new Set(endpoints.flatMap(({ nics }) => nics.map(({ hostIf }) => hostIf)));
  }

  #desired(): Desired {
    const view = this.#world.view();
    if (view === undefined) return NOTHING;
    return this.#desires.of(this.#endpoints(), this.volumes.mounts(), view, this.#times.open);
  }

  #desiredOf(endpoint: Endpoint): Desired {
    const view = this.#world.view();
    return view === undefined ? NOTHING : this.#desires.one(endpoint, view, this.#times.open);
  }

  async #forgetGone(): Promise<void> {
    const attachedAt = new Map<ContainerId, number[]>();
    const keys = new Set<string>();
    for (const one of this.#world.endpoints()) {
      if (one.phase === 'removing') continue;
      keys.add(endpointKey(one));
      attachedAt.set(one.containerId, [...(attachedAt.get(one.containerId) ?? []), one.createdAt]);
      if (one.phase === 'ready') this.#admitted.delete(endpointKey(one));
    }
    this.#cgroups.forgetAllBut(keys);
    await this.#world.records.keepOnly(attachedAt);
  }

  #tellSwitches(before: readonly Switch[], now: readonly Switch[]): void {
    const had = new Set(before.map(({ id }) => id));
    const has = new Set(now.map(({ id }) => id));
    for (const { id, name, until } of now)
      if (!had.has(id)) this.#world.log.info({ switch: id, name, until }, 'a switch is open');
    for (const { id, name } of before)
      if (!has.has(id)) this.#world.log.info({ switch: id, name }, 'a switch has ended');
  }
}

/** The view replaces a switch when something about it has changed. */
function sameSwitches(a: readonly Switch[], b: readonly Switch[]): boolean {
  return a.length === b.length && a.every((one, at) => one === b[at]);
}

function shortfallsOfMount({ mount, name, state }: MountPicture): Shortfall[] {
  return state.shortfalls.map((one) => ({ ...one, why: `volume ${name ?? mount.volume}: ${one.why}` }));
}

function cappedOf({ effective }: DesiredContainer): Shortfall[] {
  return Object.entries(effective).flatMap(([field, { capped, steps, value }]) => {
    const wanted = steps.at(-1)?.value ?? null;
    const why = `this node has ${said(value)}`;
    return capped && wanted !== null ? [{ field: field as LimitField, wanted, kernel: value, why }] : [];
  });
}
