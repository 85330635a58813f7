/** What nodes have said of their containers' limits. Held in memory: a new server asks for all of it anew. */
import type { Capacity } from '../../model/limits.ts';
import type { ContainerLimits, LimitsReport, TenantShare } from '../../model/limits-report.ts';
import type { NodeName, TenantName } from '../../model/names.ts';
import { News } from './news.ts';

/** Nodes report at least every second; three in a row that do not come are no accident. */
export const SILENT_AFTER_MS = 3_000;

/** One node's last words. */
export interface NodeLimits {
  readonly node: NodeName;
  /** Up to which revision of the cluster they are the answer. */
  readonly revision: number;
  readonly capacity: Capacity;
  /** By `containerId/ifName`. */
  readonly containers: ReadonlyMap<string, ContainerLimits>;
  /** Of every tenant that has a container there. */
  readonly shares: ReadonlyMap<TenantName, TenantShare>;
  /** Ms since then. */
  readonly silentMs: number;
  readonly reachable: boolean;
}

interface Kept {
  revision: number;
  capacity: Capacity;
  /** Whether a whole picture has come, so that those who are not named are not there. */
  whole: boolean;
  readonly containers: Map<string, ContainerLimits>;
  readonly shares: Map<TenantName, TenantShare>;
  heardAt: number;
}

export class LimitReports {
  readonly #nodes = new Map<NodeName, Kept>();
  readonly #clock: () => number;
  readonly news = new News();

  /** @param clock  ms that only go forward */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** @returns whether the node has to send the whole picture next */
  take(report: LimitsReport): boolean {
    const known = report.whole ? undefined : this.#nodes.get(report.node);
    const kept: Kept = known ?? {
      ...{ revision: 0, capacity: report.capacity, whole: report.whole, heardAt: 0 },
      ...{ containers: new Map(), shares: new Map() },
    };
    kept.revision = report.revision;
    kept.capacity = report.capacity;
    kept.heardAt = this.#clock();
    for (const key of report.gone) kept.containers.delete(key);
    for (const one of report.containers) kept.containers.set(containerKey(one), one);
    for (const share of report.tenants) kept.shares.set(share.tenant, share);
    this.#nodes.set(report.node, kept);
    this.news.tell();
    return !kept.whole;
  }

  /** The node is no longer of the cluster. */
  forget(node: NodeName): void {
    this.#nodes.delete(node);
    this.news.tell();
  }

  knows(node: NodeName): boolean {
    return this.#nodes.has(node);
  }

  /** By name. */
  nodes(): NodeLimits[] {
    const now = this.#clock();
    return [...this.#nodes]
      .sort(([one], [two]) => (one < two ? -1 : 1))
      .map(([node, { revision, capacity, containers, shares, heardAt }]) => {
        const silentMs = now - heardAt;
        const inhabited = new Set([...containers.values()].map(({ subject }) => subject.tenant));
        return {
          ...{ node, revision, capacity, containers, silentMs, reachable: silentMs < SILENT_AFTER_MS },
          // A share without a limit is not reported, nor one whose last container has gone.
          shares: new Map([...inhabited].map((tenant) => [tenant, shares.get(tenant) ?? unlimited(tenant)])),
        };
      });
  }

  close(): void {
    this.news.close();
  }
}

function unlimited(tenant: TenantName): TenantShare {
  return { tenant, base: {}, effective: {}, switches: [], shortfalls: [], events: [] };
}

/** As reports name those that are gone. */
export function containerKey({ subject }: Pick<ContainerLimits, 'subject'>): string {
  return `${subject.containerId}/${subject.ifName}`;
}
