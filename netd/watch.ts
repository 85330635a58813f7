/**
 * Watches the containers of the node: how busy each is, and whether the kernel has killed in it for want of memory. Who is
 * too busy gets new connections only as fast as its request limit says.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Gauge, type Registry as Metrics } from 'prom-client';
import * as z from 'zod';
import { processesIn } from '../linux/cgroup-files.ts';
import { findHierarchies } from '../linux/cgroup-hierarchies.ts';
import type { ApiRequest, Route } from '../linux/local-routes.ts';
import { netnsProcesses } from '../linux/netns-processes.ts';
import type { Nftables } from '../linux/nft.ts';
import { activeTasks } from '../linux/tasks.ts';
import type { Ipv4 } from '../model/addresses.ts';
import { type Endpoint, endpointKey, nicOf } from '../model/endpoint.ts';
import { asSluiceError, SluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import { createRecent } from '../model/recent.ts';
import { RequestLimit } from '../model/request-limit.ts';
import { createFinder, type Finder } from '../qos/cgroup/find.ts';
import { statisticsOf } from '../qos/cgroup/statistics.ts';
import type { ContainerCgroup } from '../qos/contract.ts';
import { createOomBook } from '../qos/oom.ts';
import { average, type Load, NO_LOAD, nextLoad } from '../qos/views/load.ts';
import { firstLoad, isSlowed } from '../qos/views/request-limit.ts';
import type { Store } from '../store/contract.ts';
import type { Registry } from './registry.ts';
import {
  keepRequestLimit,
  loadRequestLimits,
  refusedWhileBusy,
  slowedInKernel,
  slowedScript,
} from './request-limits.ts';
import { endpointsOf } from './server.ts';

export interface WatchOptions {
  readonly store: Store;
  readonly registry: Registry;
  readonly nft: Nftables;
  /** undefined until the node has its blocks. */
  readonly table: () => string | undefined;
  readonly log: Log;
}

export interface Watch {
  readonly routes: readonly Route[];
  register(metrics: Metrics): void;
  /** What is slowed in the kernel stays so. */
  close(): Promise<void>;
}

const LOOK_EVERY_MS = 1_000;
/** As the kernel does (LOAD_FREQ); containers with a request limit are looked at every time. */
const LOAD_EVERY_S = 5;
/** A container that is restarted is away for a moment, and keeps its limit. */
const FORGET_AFTER_MS = 600_000;
/** Events that are kept: of one container, and of how many. */
const EVENTS = { perContainer: 16, containers: 256 } as const;

/** One endpoint as it is watched. */
interface Watched {
  group: ContainerCgroup | undefined;
  load: Load;
  /** Averaged over its request limit's own time; undefined: not yet. */
  busy: number | undefined;
  slowed: boolean;
  /** performance.now of the last look at its tasks. */
  lookedAt: number | undefined;
}

export interface OomEvent {
  readonly at: number;
  readonly event: 'oom-kill';
  readonly containerId: string;
  readonly containerName: string | null;
  readonly tenant: string;
  readonly kills: number;
}

/** @throws SluiceError `store_failed` */
export async function startWatch(options: WatchOptions): Promise<Watch> {
  const watcher = new Watcher(options, await loadRequestLimits(options.store));
  const stopping = new AbortController();
  const over = watcher.run(stopping.signal);
  return {
    routes: routesOf(watcher, options.registry),
    register: (metrics) => watcher.register(metrics),
    async close(): Promise<void> {
      stopping.abort();
      await over;
    },
  };
}

class Watcher {
  readonly #options: WatchOptions;
  readonly #limits: Map<string, RequestLimit>;
  readonly #finder: Finder;
  readonly #processes = netnsProcesses();
  readonly #watched = new Map<string, Watched>();
  readonly #ooms = createOomBook<string>();
  readonly #events = createRecent<OomEvent>(EVENTS.perContainer, EVENTS.containers);
  readonly #startedAt = Date.now();
  /** By endpoint with a limit: since when it is away (Unix ms). */
  readonly #away = new Map<string, number>();
  #told = '';

  constructor(options: WatchOptions, limits: Map<string, RequestLimit>) {
    this.#options = options;
    this.#limits = limits;
    this.#finder = createFinder({
      // Who only looks need not wait until the runtime has finished.
      ...{ root: '', runtimeMs: 0 },
      ...{ hierarchies: findHierarchies(), processes: this.#processes },
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look().then(
        () => this.#tellOnce(''),
        (error: unknown) => this.#tellOnce(asSluiceError(error).message),
      );
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** What fails, fails every second. */
  #tellOnce(reason: string): void {
    if (reason !== '' && reason !== this.#told)
      this.#options.log.error({ reason }, 'containers cannot be watched');
    this.#told = reason;
  }

  async #look(): Promise<void> {
    const { registry, nft, table: tableNow } = this.#options;
    const table = tableNow();
    const present = table === undefined ? undefined : slowedInKernel(nft, table);
    const ready = registry.all().filter(({ phase }) => phase === 'ready');
    for (const endpoint of ready) await this.#lookAt(endpoint, present);
    await this.#forget(new Set(ready.map(endpointKey)));
    if (table === undefined || present === undefined) return;
    const script = slowedScript(table, present, this.#slowedOf(ready));
    if (script !== '') nft.apply('slow down new connections', script);
  }

  async #lookAt(endpoint: Endpoint, present: ReadonlyMap<Ipv4, number> | undefined): Promise<void> {
    const key = endpointKey(endpoint);
    const limit = this.#limits.get(key);
    const one = this.#watched.get(key) ?? fresh();
    this.#watched.set(key, one);
    const pids = await this.#tasksOf(endpoint, one);
    this.#lookForOom(endpoint, one);
    const now = performance.now();
    const seconds = one.lookedAt === undefined ? undefined : (now - one.lookedAt) / 1_000;
    // Timers are late, never early; what is a little short of five seconds would wait for a sixth.
    const due = seconds === undefined || limit !== undefined || seconds > LOAD_EVERY_S - 0.5;
    // Without the kernel's word on who is slowed, nobody's past is known.
    if (!due || (limit !== undefined && present === undefined && one.busy === undefined)) return;
    one.lookedAt = now;
    const active = activeTasks(pids);
    if (seconds !== undefined) one.load = nextLoad(one.load, active, seconds);
    if (limit === undefined) {
      one.slowed = false;
      one.busy = undefined;
      return;
    }
    const address = nicOf(endpoint, 'external')?.address;
    const held = address !== undefined && present?.has(address) === true;
    const last = one.busy ?? firstLoad(limit, active, held);
    one.busy = average(last, active, seconds ?? 0, limit.averageSeconds);
    const slowed = isSlowed(limit, one.busy, one.slowed || held);
    if (slowed !== one.slowed) this.#tellSlowed(endpoint, slowed, one.busy);
    one.slowed = slowed;
  }

  #tellSlowed({ containerId, containerName, tenant }: Endpoint, slowed: boolean, load: number): void {
    const facts = { container: containerId, name: containerName, tenant, load: rounded(load) };
    const what = slowed ? 'new connections to a busy container are limited' : 'a container is no longer busy';
    this.#options.log.info(facts, what);
  }

  /** Those of its control group; where it has none of its own, those of its network namespace. */
  async #tasksOf(endpoint: Endpoint, one: Watched): Promise<readonly number[]> {
    const known = this.#pidsIn(one.group);
    if (known !== undefined && known.length > 0) return known;
    const { containerId, cgroupPath, netnsInode } = endpoint;
    one.group = await this.#finder.find({ containerId, cgroupPath, netnsInode });
    return this.#pidsIn(one.group) ?? (await this.#processes.in(netnsInode));
  }

  #pidsIn(group: ContainerCgroup | undefined): number[] | undefined {
    if (group === undefined) return undefined;
    for (const controller of group.paths.keys()) {
      const directory = this.#finder.directoryOf(group, controller);
      if (directory !== undefined) return processesIn(directory);
    }
    return undefined;
  }

  #lookForOom(endpoint: Endpoint, { group }: Watched): void {
    const { containerId, containerName, tenant } = endpoint;
    const kills =
      group &&
      statisticsOf((controller) =>
        controller === 'memory' ? this.#finder.directoryOf(group, controller) : undefined,
      )?.oomKills;
    const news = this.#ooms.look(endpointKey(endpoint), kills, endpoint.createdAt > this.#startedAt);
    if (news === undefined) return;
    const event = { containerId, containerName, tenant, kills: news.kills };
    this.#events.add(endpointKey(endpoint), { at: Date.now(), event: 'oom-kill', ...event });
  }

  #slowedOf(endpoints: readonly Endpoint[]): Map<Ipv4, number> {
    const slowed = new Map<Ipv4, number>();
    for (const endpoint of endpoints) {
      const key = endpointKey(endpoint);
      const [limit, address] = [this.#limits.get(key), nicOf(endpoint, 'external')?.address];
      if (limit !== undefined && address !== undefined && this.#watched.get(key)?.slowed === true)
        slowed.set(address, limit.newPerSecond);
    }
    return slowed;
  }

  async #forget(present: ReadonlySet<string>): Promise<void> {
    for (const key of this.#watched.keys()) {
      if (present.has(key)) continue;
      this.#watched.delete(key);
      this.#ooms.forget(key);
    }
    const now = Date.now();
    for (const key of this.#limits.keys()) {
      const since = this.#away.get(key) ?? now;
      if (present.has(key)) this.#away.delete(key);
      else if (now - since > FORGET_AFTER_MS) await this.setLimit(key, undefined);
      else this.#away.set(key, since);
    }
  }

  async setLimit(key: string, limit: RequestLimit | undefined): Promise<void> {
    await keepRequestLimit(this.#options.store, key, limit);
    if (limit === undefined) this.#limits.delete(key);
    else this.#limits.set(key, limit);
    this.#away.delete(key);
  }

  requestsOf(endpoint: Endpoint): object {
    const key = endpointKey(endpoint);
    const one = this.#watched.get(key);
    const { containerId, containerName, tenant } = endpoint;
    const { one: minute = 0, five = 0, fifteen = 0 } = one?.load ?? NO_LOAD;
    return {
      ...{ containerId, containerName, tenant },
      load: [rounded(minute), rounded(five), rounded(fifteen)],
      limit: this.#limits.get(key) ?? null,
      busy: one?.busy === undefined ? null : rounded(one.busy),
      slowed: one?.slowed ?? false,
    };
  }

  events(): OomEvent[] {
    return this.#events.all();
  }

  register(metrics: Metrics): void {
    const { registry, nft, table } = this.#options;
    const ready = (): Endpoint[] => registry.all().filter(({ phase }) => phase === 'ready');
    const watched = (endpoint: Endpoint): Watched | undefined => this.#watched.get(endpointKey(endpoint));
    const labelNames = ['container', 'name', 'tenant'];
    new Gauge({
      name: 'sluice_container_load',
      help: 'Tasks of the container that run or wait for a disk, averaged as the kernel averages those of the machine.',
      labelNames: [...labelNames, 'minutes'],
      registers: [metrics],
      collect() {
        this.reset();
        for (const endpoint of ready()) {
          const load = watched(endpoint)?.load ?? NO_LOAD;
          const by = { 1: load.one, 5: load.five, 15: load.fifteen };
          for (const [minutes, value] of Object.entries(by))
            this.set({ ...labelsOf(endpoint), minutes }, value);
        }
      },
    });
    new Gauge({
      name: 'sluice_container_slowed',
      help: 'Whether new connections to the published ports of the container are limited because it is busy.',
      labelNames,
      registers: [metrics],
      collect() {
        this.reset();
        for (const endpoint of ready())
          this.set(labelsOf(endpoint), watched(endpoint)?.slowed === true ? 1 : 0);
      },
    });
    new Gauge({
      name: 'sluice_requests_refused',
      help: 'First packets of connections that were refused because a container was busy.',
      registers: [metrics],
      collect() {
        const now = table();
        this.set(now === undefined ? 0 : refusedWhileBusy(nft, now));
      },
    });
  }
}

function fresh(): Watched {
  return { group: undefined, load: NO_LOAD, busy: undefined, slowed: false, lookedAt: undefined };
}

function labelsOf({ containerId, containerName, tenant }: Endpoint): Record<string, string> {
  return { container: containerId, name: containerName ?? '', tenant };
}

function rounded(load: number): number {
  return Math.round(load * 100) / 100;
}

function routesOf(watcher: Watcher, registry: Registry): Route[] {
  const path = '/v1/limits/:container/requests';
  const find = (request: ApiRequest): readonly Endpoint[] => endpointsOf({ registry }, request);
  const shown = (endpoints: readonly Endpoint[]): { json: object } => ({
    json: { requests: endpoints.map((one) => watcher.requestsOf(one)) },
  });
  const set = async (request: ApiRequest, limit: RequestLimit | undefined): Promise<{ json: object }> => {
    const found = find(request);
    for (const endpoint of found) await watcher.setLimit(endpointKey(endpoint), limit);
    return shown(found);
  };
  return [
    { method: 'GET', path: '/v1/requests', handle: () => shown(registry.all()) },
    { method: 'GET', path, handle: (request) => shown(find(request)) },
    { method: 'PUT', path, handle: (request) => set(request, parsed(request.json())) },
    { method: 'DELETE', path, handle: (request) => set(request, undefined) },
    { method: 'GET', path: '/v1/limit-events', handle: () => ({ json: { events: watcher.events() } }) },
  ];
}

function parsed(value: unknown): RequestLimit {
  const result = RequestLimit.safeParse(value);
  if (result.success) return result.data;
  throw new SluiceError('invalid_request', z.prettifyError(result.error), 'correct the request');
}
