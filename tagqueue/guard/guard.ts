/** The guard of a node: keeps its chain and its worker as they should be, and gathers what the worker tells. */
import { Worker } from 'node:worker_threads';
import { type Conntrack, openConntrack } from '../../linux/conntrack.ts';
import { applyChains, chainsStand } from '../../linux/iptables.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { asSluiceError } from '../../model/errors.ts';
import type { Log } from '../../model/log.ts';
import type { MarkMask } from '../../model/mark.ts';
import type { IfName, TenantTag } from '../../model/names.ts';
import { GUARD_QUEUE, guardChain } from './chain.ts';
import type {
  Decided,
  FromWorker,
  PortsPlace,
  RefusedFlow,
  TenantRules,
  ToWorker,
  WorkerSettings,
} from './messages.ts';
import { flowKey } from './packet.ts';

export interface GuardOptions {
  readonly externalBridge: IfName;
  readonly markMask: MarkMask;
  readonly ports: PortsPlace;
  /** @returns undefined for a tenant without a container here */
  readonly markOf: (tag: TenantTag) => number | undefined;
  /** Whether flows to this address are none of the guard's, though they bear a tenant's mark. */
  readonly isInternal: (address: Ipv4) => boolean;
  readonly log: Log;
  /** Told of every refused flow that the worker tells of. */
  readonly refused: (flow: RefusedFlow) => void;
}

/** Flows decided so far, and what is held now. */
export interface GuardCounts {
  readonly decided: readonly Decided[];
  readonly refusedPackets: ReadonlyMap<TenantTag, number>;
  /** Released flows under way, by tenant. */
  readonly flows: ReadonlyMap<TenantTag, number>;
  readonly held: Extract<FromWorker, { readonly kind: 'report' }>['held'];
}

export interface GuardStatus {
  /** Tenants with rules. */
  readonly tenants: number;
  /** Whether their new flows are being judged, by the newest rules; as long as they are not, none gets out. */
  readonly ready: boolean;
  /** Flows refused in the last minute. */
  readonly refusedLately: number;
  readonly held: GuardCounts['held'];
}

export interface Guard {
  /** All rules there are. */
  setRules(tenants: readonly TenantRules[]): void;
  counts(): GuardCounts;
  status(): GuardStatus;
  /** Ends the worker; from then on nothing new of guarded tenants gets out. */
  close(): Promise<void>;
}

/** A chain that somebody flushed is back after at most this long; until then nothing new gets out. */
const REPAIR_MS = 10_000;
/** A flow that has ended gives its place back after at most this long. */
const SWEEP_MS = 500;
const LATELY_MS = 60_000;
/** A worker that dies at once is not started at once for ever. */
const RESTART_MS = 200;

/** Opens in the current network namespace; nothing runs before the first rules have come. */
export function openGuard(options: GuardOptions): Guard {
  const conntrack = openConntrack();
  const state = new GuardState(options, conntrack);
  const repair = setInterval(() => void state.repair(), REPAIR_MS);
  const sweep = setInterval(() => void state.sweep(), SWEEP_MS);
  return {
    setRules: (tenants) => state.setRules(tenants),
    counts: () => state.counts(),
    status: () => state.status(),
    async close(): Promise<void> {
      clearInterval(repair);
      clearInterval(sweep);
      await state.close();
      conntrack.close();
    },
  };
}

class GuardState {
  readonly #options: GuardOptions;
  readonly #conntrack: Conntrack;
  readonly #decided = new Map<string, Decided>();
  readonly #flows = new Map<TenantTag, number>();
  #rules: readonly TenantRules[] | undefined;
  readonly #refusedPackets = new Map<TenantTag, number>();
  #held = { beginnings: 0, beginningBytes: 0, flows: 0 };
  /** At most one entry for each report of the last minute. */
  #refusals: readonly { readonly at: number; readonly flows: number }[] = [];
  #worker: Worker | undefined;
  #closing = false;
  #sweeping: Promise<void> = Promise.resolve();
  #chain: Promise<void> = Promise.resolve();
  #isUp = false;
  /** Rules that the worker was told and does not go by yet. */
  #untaken = 0;

  constructor(options: GuardOptions, conntrack: Conntrack) {
    this.#options = options;
    this.#conntrack = conntrack;
  }

  setRules(tenants: readonly TenantRules[]): void {
    const first = this.#rules === undefined;
    this.#rules = tenants;
    if (first) void this.keepChain();
    // A node without rules has no thread for them.
    if (this.#worker === undefined && tenants.length > 0) this.#start();
    else if (this.#worker !== undefined) {
      this.#untaken += 1;
      this.#tell({ kind: 'rules', tenants });
    }
  }

  counts(): GuardCounts {
    return {
      decided: [...this.#decided.values()],
      refusedPackets: this.#refusedPackets,
      flows: this.#flows,
      held: this.#held,
    };
  }

  status(): GuardStatus {
    const since = performance.now() - LATELY_MS;
    const refusedLately = this.#refusals.reduce((sum, { at, flows }) => (at < since ? sum : sum + flows), 0);
    return {
      tenants: this.#rules?.length ?? 0,
      ready: this.#isUp && this.#untaken === 0,
      refusedLately,
      held: this.#held,
    };
  }

  /** Programs are executed for it: only where somebody is guarded. */
  async repair(): Promise<void> {
    if (this.#rules !== undefined && this.#rules.length > 0) await this.keepChain();
  }

  /** The chain stands on every node: flows of tenants without rules bear their mark too, should they get rules. */
  keepChain(): Promise<void> {
    this.#chain = this.#chain.then(async () => {
      const { externalBridge, markMask, log } = this.#options;
      const chain = guardChain(externalBridge, markMask);
      try {
        if (!(await chainsStand([chain]))) await applyChains([chain]);
      } catch (error) {
        const { message, hint } = asSluiceError(error);
        log.error(
          { reason: message, hint },
          'new flows of guarded tenants are shut: their queue cannot be set up',
        );
      }
    });
    return this.#chain;
  }

  /** Looks which released flows are still under way. */
  sweep(): Promise<void> {
    this.#sweeping = this.#sweeping
      .then(() => this.#sweepOnce())
      .catch((error: unknown) => {
        this.#options.log.warn(
          { reason: asSluiceError(error).message },
          'released flows could not be counted',
        );
      });
    return this.#sweeping;
  }

  async #sweepOnce(): Promise<void> {
    const tenants = this.#rules ?? [];
    for (const tag of this.#flows.keys())
      if (!tenants.some((one) => one.tag === tag)) this.#flows.delete(tag);
    for (const { tag } of tenants) {
      const mark = this.#options.markOf(tag);
      if (mark === undefined) continue;
      const at = performance.timeOrigin + performance.now();
      const marked = await this.#conntrack.listMarked(mark, this.#options.markMask);
      const flows = marked.filter(({ destination }) => !this.#options.isInternal(destination));
      this.#flows.set(tag, flows.length);
      this.#tell({ kind: 'flows', tag, keys: flows.map(flowKey), at });
    }
  }

  #start(): void {
    if (this.#closing || this.#rules === undefined) return;
    const { markMask, ports, log } = this.#options;
    const settings: WorkerSettings = { queue: GUARD_QUEUE, markMask, ports };
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: settings });
    this.#worker = worker;
    worker.on('message', (message: FromWorker) => this.#hear(message));
    worker.on('error', (error) =>
      log.error({ reason: asSluiceError(error).message }, "the guard's worker failed"),
    );
    worker.once('exit', () => {
      this.#isUp = false;
      this.#worker = undefined;
      if (!this.#closing) setTimeout(() => this.#start(), RESTART_MS).unref();
    });
    this.#untaken = 1;
    worker.postMessage({ kind: 'rules', tenants: this.#rules } satisfies ToWorker);
    // Flows that an earlier worker let out hold their places.
    void this.sweep().then(() => this.#tell({ kind: 'begin' }));
  }

  #hear(message: FromWorker): void {
    if (message.kind === 'ready') {
      this.#isUp = true;
      return;
    }
    if (message.kind === 'taken') {
      this.#untaken -= 1;
      return;
    }
    for (const { tag, verdict, rule, flows } of message.decided) {
      const key = `${tag} ${verdict} ${rule}`;
      const before = this.#decided.get(key)?.flows ?? 0;
      this.#decided.set(key, { tag, verdict, rule, flows: before + flows });
    }
    this.#noteRefusals(message.decided);
    for (const { tag, packets } of message.refusedPackets)
      this.#refusedPackets.set(tag, (this.#refusedPackets.get(tag) ?? 0) + packets);
    this.#held = message.held;
    for (const flow of message.refused) this.#options.refused(flow);
  }

  #noteRefusals(decided: readonly Decided[]): void {
    const now = performance.now();
    const flows = decided.reduce((sum, one) => (one.verdict === 'deny' ? sum + one.flows : sum), 0);
    if (flows === 0) return;
    this.#refusals = [...this.#refusals.filter(({ at }) => at >= now - LATELY_MS), { at: now, flows }];
  }

  #tell(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  async close(): Promise<void> {
    this.#closing = true;
    const worker = this.#worker;
    if (worker !== undefined) {
      const gone = new Promise<void>((resolve) => void worker.once('exit', () => resolve()));
      this.#tell({ kind: 'stop' });
      await gone;
    }
    await Promise.all([this.#sweeping, this.#chain]);
  }
}
