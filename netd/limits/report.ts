/** What a node tells the server of its limits, and what has changed since it last did. */
import type { Capacity } from '../../model/limits.ts';
import type { ContainerLimits, LimitsReport, TenantShare } from '../../model/limits-report.ts';
import type { NodeName } from '../../model/names.ts';
import { named } from '../../qos/desired.ts';
import type { ContainerPicture, LimitsKeeper } from './keeper.ts';

/** What a message may hold; a node with more containers sends several. */
const PER_MESSAGE = 500;

/** Remembers what the server has been told. */
export interface Reports {
  /** Whether there is anything to tell yet. */
  ready(): boolean;
  /** @returns messages, in this order; with nothing new one that is empty, which proves that the node lives */
  next(whole: boolean): LimitsReport[];
  /** Nothing but proof that the node lives. */
  empty(): LimitsReport;
  /** The server has them all. */
  sent(): void;
}

export function createReports(keeper: LimitsKeeper, node: NodeName, capacity: () => Capacity): Reports {
  let told: Told = { containers: new Map(), tenants: new Map() };
  let telling = told;

  const message = (whole: boolean, more: Partial<LimitsReport>): LimitsReport => ({
    ...{ node, revision: keeper.revision(), capacity: capacity(), whole },
    ...{ containers: [], gone: [], tenants: [] },
    ...more,
  });

  return {
    ready: () => keeper.revision() > 0,
    next(whole): LimitsReport[] {
      const containers = new Map(
        keeper.settledPictures().map((one) => [one.desired.key, containerLimits(one)]),
      );
      const tenants = new Map(tenantShares(keeper).map((one) => [one.tenant as string, one]));
      telling = {
        // When it was read is no news.
        containers: texts(containers, (one) => ({ ...one, readAt: 0 })),
        tenants: texts(tenants, (one) => one),
      };
      const gone = whole ? [] : [...told.containers.keys()].filter((key) => !containers.has(key));
      const news = newsOf(containers, whole, told.containers, telling.containers);
      const first = message(whole, {
        containers: news.slice(0, PER_MESSAGE),
        gone,
        tenants: newsOf(tenants, whole, told.tenants, telling.tenants),
      });
      const rest: LimitsReport[] = [];
      for (let at = PER_MESSAGE; at < news.length; at += PER_MESSAGE)
        rest.push(message(false, { containers: news.slice(at, at + PER_MESSAGE) }));
      return [first, ...rest];
    },
    empty: () => message(false, {}),
    sent(): void {
      told = telling;
    },
  };
}

type Texts = ReadonlyMap<string, string>;

interface Told {
  readonly containers: Texts;
  readonly tenants: Texts;
}

function texts<T>(all: ReadonlyMap<string, T>, telling: (one: T) => object): Texts {
  return new Map([...all].map(([key, one]) => [key, JSON.stringify(telling(one))]));
}

function newsOf<T>(all: ReadonlyMap<string, T>, whole: boolean, told: Texts, telling: Texts): T[] {
  return [...all].filter(([key]) => whole || told.get(key) !== telling.get(key)).map(([, one]) => one);
}

function containerLimits({ desired, cgroup, shortfalls, events }: ContainerPicture): ContainerLimits {
  return {
    subject: desired.subject,
    ...named(desired.effective),
    shortfalls: [...shortfalls],
    events: [...events],
    readAt: cgroup.readAt,
  };
}

function tenantShares(keeper: LimitsKeeper): TenantShare[] {
  return keeper.settledShares().map(({ tenant, effective }) => ({
    ...{ tenant, ...named(effective) },
    shortfalls: keeper.shortfallsOfShare(tenant),
    events: keeper.eventsOfShare(tenant),
  }));
}
