/**
 * Shows containers their own CPUs, memory, load and uptime: keeps one lxcfs for the node, and mounts its files over those
 * of the containers that have asked (docs/views.md). What is mounted where is read from the kernel each time.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { isThere } from '../linux/directories.ts';
import type { Route } from '../linux/local-routes.ts';
import {
  findLxcfs,
  type LiveLxcfs,
  type LxcfsPlace,
  lastWords,
  lxcfsAnswers,
  startLxcfs,
  stopLxcfs,
} from '../linux/lxcfs.ts';
import { mountInto } from '../linux/mount-into.ts';
import { type MountNamespace, mountNamespaces, mountsOf } from '../linux/mount-table.ts';
import { type Endpoint, endpointKey } from '../model/endpoint.ts';
import { asSluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { NodeName } from '../model/names.ts';
import { planViews, type SeenNamespace, type ViewErrand } from '../qos/views/plan.ts';

export interface ViewsOptions {
  readonly node: NodeName;
  readonly runDir: string;
  readonly enabled: boolean;
  readonly endpoints: () => readonly Endpoint[];
  readonly log: Log;
}

export interface Views {
  readonly routes: readonly Route[];
  /** Leaves lxcfs and what is mounted as they are: containers read on. */
  close(): Promise<void>;
}

/** A dead lxcfs is an error in every container that reads from it. */
const LOOK_EVERY_MS = 500;
/** Containers are looked through at every look while one that has asked is being started, else this often. */
const LOOK_THROUGH_EVERY_MS = 5_000;
/** For so long after ADD a container is waited for that closely. */
const YOUNG_MS = 60_000;
/** One errand of linux/mount-into.ts: microseconds, unless somebody holds it up. */
const ERRAND_MS = 2_000;
/** A container whose errand failed is not tried again before. */
const RETRY_MS = 30_000;
/** How often lxcfs has to prove that it still answers, and how quickly. */
const PROVE_EVERY_MS = 5_000;
const ANSWERS_WITHIN_MS = 2_000;
/** Between starts of an lxcfs that keeps dying. */
const LONGEST_PAUSE_MS = 30_000;
const STEADY_MS = 60_000;

function placeOf(node: NodeName, runDir: string): LxcfsPlace {
  return { directory: `${runDir}/lxcfs`, source: `sluice-views-${node}` };
}

export async function startViews({ node, runDir, enabled, endpoints, log }: ViewsOptions): Promise<Views> {
  const place = placeOf(node, runDir);
  if (!enabled) {
    await removeViews(node, runDir).then(
      (found) => found && log.info({}, 'views are off: lxcfs was stopped'),
      (error: unknown) => log.warn({ reason: asSluiceError(error).message }, 'an old lxcfs is still there'),
    );
    return { routes: [viewsRoute(() => ({ lxcfs: 'off' }))], close: async () => undefined };
  }
  const stopping = new AbortController();
  const keeper = new ViewsKeeper(place, endpoints, log);
  const over = keeper.run(stopping.signal);
  return {
    routes: [viewsRoute(() => keeper.state())],
    async close(): Promise<void> {
      stopping.abort();
      await over;
    },
  };
}

function viewsRoute(state: () => object): Route {
  return { method: 'GET', path: '/v1/views', handle: () => ({ json: state() }) };
}

/**
 * Ends a node's lxcfs, and takes it off wherever it is mounted.
 * @returns whether there was one
 */
export async function removeViews(node: NodeName, runDir: string): Promise<boolean> {
  const place = placeOf(node, runDir);
  if (!isThere(place.directory)) return false;
  const nothing = {
    device: undefined,
    source: place.source,
    netns: new Set<number>(),
    touched: new Set<number>(),
  };
  await carryOut(place, planViews(nothing, await look(() => true)).errands);
  await stopLxcfs(place);
  return true;
}

class ViewsKeeper {
  readonly #place: LxcfsPlace;
  readonly #endpoints: () => readonly Endpoint[];
  readonly #log: Log;
  /** Mount namespaces in which we have mounted. */
  #touched: ReadonlySet<number> = new Set();
  /** Mount namespaces in which it has failed: until when they are left alone (performance.now). */
  readonly #resting = new Map<number, number>();
  #provenAt = Number.NEGATIVE_INFINITY;
  #startedAt = Number.NEGATIVE_INFINITY;
  #pauseMs = 0;
  #live: LiveLxcfs | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** Network namespaces that are served. */
  #served: ReadonlySet<number> = new Set();

  constructor(place: LxcfsPlace, endpoints: () => readonly Endpoint[], log: Log) {
    this.#place = place;
    this.#endpoints = endpoints;
    this.#log = log;
  }

  state(): object {
    const containers = this.#asking().map((one) => ({
      endpoint: endpointKey(one),
      served: this.#served.has(one.netnsInode),
    }));
    return { lxcfs: this.#live === undefined ? 'down' : 'up', pid: this.#live?.id.pid ?? null, containers };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#settle().catch((error: unknown) => {
        this.#log.error(
          { reason: asSluiceError(error).message },
          'containers are not shown their own figures',
        );
      });
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #asking(): Endpoint[] {
    return this.#endpoints().filter(({ views, phase }) => views === true && phase === 'ready');
  }

  /** Somebody who has asked is on his way up, as far as we know. */
  #isExpecting(): boolean {
    const born = Date.now() - YOUNG_MS;
    return this.#asking().some((one) => one.createdAt > born && !this.#served.has(one.netnsInode));
  }

  async #settle(): Promise<void> {
    const before = this.#live?.device;
    this.#live = await this.#keepLxcfs();
    // Without lxcfs nothing is taken off: it is about to come back.
    if (this.#live === undefined) return;
    const isFresh = this.#live.device !== before;
    // Who failed with the last one may fare better with this one.
    if (isFresh) this.#resting.clear();
    const due = performance.now() - this.#lookedAt >= LOOK_THROUGH_EVERY_MS;
    if (due || isFresh || this.#isExpecting()) await this.#mount(this.#live, isFresh);
  }

  /** @param everywhere  also where nobody has asked us: runtimes mount the files, too, and dead ones are of no use */
  async #mount({ device }: LiveLxcfs, everywhere: boolean): Promise<void> {
    this.#lookedAt = performance.now();
    const netns = new Set(this.#asking().map(({ netnsInode }) => netnsInode));
    const seen = await look(
      (one) => everywhere || this.#touched.has(one.inode) || [...one.netns].some((of) => netns.has(of)),
    );
    const plan = planViews({ device, source: this.#place.source, netns, touched: this.#touched }, seen);
    const now = performance.now();
    for (const [inode, until] of this.#resting) if (until <= now) this.#resting.delete(inode);
    const errands = plan.errands.filter(({ inode }) => !this.#resting.has(inode));
    const failed = await carryOut(this.#place, errands);
    for (const [inode, why] of [...failed, ...plan.refused]) this.#rest(inode, why);
    const served = (inode: number): boolean => plan.served.has(inode) && !this.#resting.has(inode);
    this.#touched = new Set(
      seen
        .map(({ inode }) => inode)
        .filter((inode) => served(inode) || (this.#touched.has(inode) && this.#resting.has(inode))),
    );
    this.#served = new Set(seen.flatMap(({ inode, netns: of }) => (served(inode) ? [...of] : [])));
  }

  #rest(inode: number, why: string): void {
    if (this.#resting.has(inode)) return;
    this.#resting.set(inode, performance.now() + RETRY_MS);
    this.#log.warn({ mountNamespace: inode, reason: why }, 'a container is not shown its own figures');
  }

  /** One that lives but does not answer is replaced: its readers wait for ever otherwise. */
  async #keepLxcfs(): Promise<LiveLxcfs | undefined> {
    const live = findLxcfs(this.#place);
    const now = performance.now();
    if (live !== undefined) {
      if (now - this.#provenAt < PROVE_EVERY_MS) return live;
      this.#provenAt = now;
      if (await lxcfsAnswers(this.#place, ANSWERS_WITHIN_MS)) return live;
      this.#log.error({ pid: live.id.pid }, 'lxcfs does not answer: it is started anew');
    }
    if (now - this.#startedAt < this.#pauseMs) return undefined;
    const died = Number.isFinite(this.#startedAt);
    const said = lastWords(this.#place);
    this.#pauseMs =
      now - this.#startedAt > STEADY_MS ? 0 : Math.min(2 * this.#pauseMs + 500, LONGEST_PAUSE_MS);
    this.#startedAt = now;
    this.#provenAt = now;
    await startLxcfs(this.#place);
    const started = findLxcfs(this.#place);
    if (died) this.#log.warn({ pid: started?.id.pid ?? null, said }, 'lxcfs had died: it was started anew');
    else this.#log.info({ pid: started?.id.pid ?? null }, 'lxcfs runs');
    return started;
  }
}

/** So many lists of mounts are read before others get a turn; one takes about 50 µs. */
const AT_ONCE = 32;

async function look(concerns: (namespace: MountNamespace) => boolean): Promise<SeenNamespace[]> {
  const seen: SeenNamespace[] = [];
  for (const namespace of (await mountNamespaces()).filter(concerns)) {
    if (seen.length % AT_ONCE === AT_ONCE - 1) await nextTurn();
    seen.push({ ...namespace, mounts: mountsOf(namespace.pid) });
  }
  return seen;
}

async function carryOut(
  { directory }: LxcfsPlace,
  errands: readonly ViewErrand[],
): Promise<ReadonlyMap<number, string>> {
  return mountInto(
    errands.map(({ attach, remove, ...where }) => ({
      ...where,
      remove: [...remove],
      attach: attach.map((point) => ({ from: `${directory}${point}`, to: point })),
    })),
    ERRAND_MS,
  );
}
