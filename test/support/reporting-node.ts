/** A node as the server sees it: it follows the cluster, and reports what the algebra says of its containers. */
import type * as z from 'zod';
import type { ApiClient } from '../../linux/api-client.ts';
import { ClusterLine, foldLine, type NodeView } from '../../model/cluster-changes.ts';
import { baseOf, effective, switchesOf, valuesOf } from '../../model/effective-limits.ts';
import {
  type Capacity,
  isTenantField,
  type Labels,
  LIMIT_FIELDS,
  type LimitField,
  type Limits,
  type Subject,
} from '../../model/limits.ts';
import type { LimitsReport, LimitsReportAnswer, Shortfall } from '../../model/limits-report.ts';
import type { ContainerId, IfName, NodeName, TenantName } from '../../model/names.ts';
import type { SwitchId } from '../../model/switch.ts';
import { chooses, choosesShare } from '../../model/switch-scope.ts';
import { isOpenAt } from '../../model/switch-windows.ts';

/** What has a default may be left out. */
type Report = z.input<typeof LimitsReport>;
type Values = Report['containers'][number]['base'];

export interface SampleContainer {
  readonly tenant: string;
  /** Its id, its instance's name, and without `app` its app. */
  readonly name: string;
  readonly app?: string;
  readonly labels?: Labels;
  /** What was said for it alone. */
  readonly limits?: Limits;
  readonly shortfalls?: readonly Shortfall[];
}

const CONTAINER_FIELDS = LIMIT_FIELDS.filter((field) => !isTenantField(field));
const SHARE_FIELDS = LIMIT_FIELDS.filter(isTenantField);

export class ReportingNode {
  readonly node: NodeName;
  /** How often it was asked for the whole picture. */
  asked = 0;
  capacity: Capacity = { cpu: 4, memory: 8 * 2 ** 30, uplink: 10e9 };
  readonly #client: ApiClient;
  readonly #now: () => number;
  #containers: readonly SampleContainer[];
  #view: NodeView | undefined;
  readonly #stop = new AbortController();
  #following: Promise<void> | undefined;

  constructor(client: ApiClient, node: string, now: () => number, containers: readonly SampleContainer[]) {
    this.#client = client;
    this.node = node as NodeName;
    this.#now = now;
    this.#containers = containers;
  }

  /** Answers every change of the cluster at once, until it is stopped. Resolves after the first report. */
  async follow(): Promise<void> {
    const begun = Promise.withResolvers<void>();
    this.#following = (async () => {
      for await (const line of this.#client.stream('/v1/cluster?watch=1', this.#stop.signal)) {
        this.#view = foldLine(this.#view, ClusterLine.parse(line));
        await this.report();
        begun.resolve();
      }
    })().catch(begun.reject);
    await begun.promise;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  set containers(containers: readonly SampleContainer[]) {
    this.#containers = containers;
  }

  /** @param changes  of the report that it would send by itself */
  async report(changes: Partial<Report> = {}): Promise<void> {
    const report = { ...this.#picture(), ...changes };
    const { whole } = (await this.#client.request(
      'POST',
      `/v1/nodes/${this.node}/limits`,
      report,
    )) as LimitsReportAnswer;
    if (!whole) return;
    this.asked += 1;
    await this.report();
  }

  #picture(): Report {
    const tenants = [...new Set(this.#containers.map(({ tenant }) => tenant as TenantName))];
    return {
      node: this.node,
      revision: this.#view?.revision ?? 0,
      capacity: this.capacity,
      whole: true,
      containers: this.#containers.map((one) => {
        const subject = this.#subjectOf(one);
        const { base, values, switches } = this.#holds(
          CONTAINER_FIELDS,
          { app: one.limits ?? {}, plan: this.#view?.plans.get(subject.tenant)?.container ?? {} },
          (other) => chooses(other, subject),
        );
        const shortfalls = [...(one.shortfalls ?? [])];
        return { subject, base, effective: values, switches, shortfalls, events: [], readAt: this.#now() };
      }),
      gone: [],
      tenants: tenants.map((tenant) => {
        const { base, values, switches } = this.#holds(
          SHARE_FIELDS,
          { app: {}, plan: this.#view?.plans.get(tenant)?.share ?? {} },
          (one) => choosesShare(one, { tenant, node: this.node, zone: this.#zone }),
        );
        return { tenant, base, effective: values, switches, shortfalls: [] };
      }),
    };
  }

  get #zone(): string | null {
    return this.#view?.nodes.get(this.node)?.zone ?? null;
  }

  #subjectOf({ tenant, name, app, labels }: SampleContainer): Subject {
    return {
      node: this.node,
      zone: this.#zone,
      tenant: tenant as TenantName,
      app: app ?? name,
      instance: name,
      containerId: name as ContainerId,
      ifName: 'eth0' as IfName,
      labels: labels ?? {},
    };
  }

  #holds(
    fields: readonly LimitField[],
    { app, plan }: { app: Limits; plan: Limits },
    isChosen: (one: Parameters<typeof chooses>[0]) => boolean,
  ): { base: Values; values: Values; switches: SwitchId[] } {
    const base = baseOf({ app, runtime: {}, plan, cluster: this.#view?.defaults.container ?? {} });
    const open = [...(this.#view?.switches.values() ?? [])].filter(
      (one) => isOpenAt(one, this.#now()) && isChosen(one),
    );
    const all = effective({ base, switches: open, fields, capacity: this.capacity });
    return {
      base: Object.fromEntries(fields.map((field) => [field, base[field].value])) as Values,
      values: valuesOf(all) as Values,
      switches: switchesOf(all),
    };
  }
}
