/** What netd tells Prometheus of limits: what they hold up, what could not be had, what somebody else has changed. */
import { Counter, Gauge, type Registry as Metrics } from 'prom-client';
import type { MountId } from '../../model/volume.ts';
import type { CgroupStatistics, RateStatistics } from '../../qos/contract.ts';
import type { ContainerPicture, LimitsKeeper } from './keeper.ts';

const CONTAINER = ['tenant', 'container', 'name'] as const;
type Labels = Record<(typeof CONTAINER)[number], string>;

interface Figure {
  readonly name: string;
  readonly help: string;
  /** A gauge may fall. */
  readonly gauge?: boolean;
}

const OF_CGROUPS: readonly (Figure & { readonly of: (one: CgroupStatistics) => number | null })[] = [
  { name: 'cpu_seconds_total', help: 'CPU time used.', of: (one) => one.cpuSeconds },
  {
    ...{ name: 'cpu_throttled_seconds_total', of: (one) => one.throttledSeconds },
    help: 'How long a container had to wait because its CPU quota was used up.',
  },
  {
    ...{ name: 'cpu_throttled_periods_total', of: (one) => one.throttledPeriods },
    help: 'In how many periods it had to.',
  },
  { name: 'memory_bytes', help: 'Memory in use.', gauge: true, of: (one) => one.memoryBytes },
  {
    ...{ name: 'oom_kills_total', of: (one) => one.oomKills },
    help: 'Processes that the kernel killed because the memory limit was reached.',
  },
  { name: 'pids', help: 'Processes and threads.', gauge: true, of: (one) => one.pids },
  {
    ...{ name: 'pids_refused_total', of: (one) => one.pidsRefused },
    help: 'Processes and threads that could not be begun because of the limit.',
  },
  {
    ...{ name: 'block_waits_total', of: (one) => one.blockWaits },
    help: 'Requests to disks that had to wait, where the kernel tells.',
  },
];

const OF_RATES: readonly (Figure & { readonly of: (one: RateStatistics) => number })[] = [
  { name: 'net_limited_bytes_total', help: 'Bytes that passed a rate.', of: (one) => one.bytes },
  { name: 'net_limited_packets_total', help: 'Packets that passed a rate.', of: (one) => one.packets },
  {
    name: 'net_dropped_total',
    help: 'Packets for which a full queue had no room.',
    of: (one) => one.dropped,
  },
  {
    ...{ name: 'net_overlimits_total', of: (one) => one.overlimits },
    help: 'How often a packet had to wait for its rate.',
  },
  { name: 'net_backlog_bytes', help: 'Bytes waiting now.', gauge: true, of: (one) => one.backlog },
];

export function registerLimitsMetrics(metrics: Metrics, keeper: LimitsKeeper): void {
  registerNode(metrics, keeper);
  registerMounts(metrics, keeper);
  for (const figure of OF_CGROUPS)
    register(metrics, figure, CONTAINER, async (tell) => {
      for (const picture of keeper.pictures()) {
        const value = picture.cgroup.statistics && figure.of(picture.cgroup.statistics);
        if (typeof value === 'number') tell(labelsOf(picture), value);
      }
    });
  for (const figure of OF_RATES)
    register(metrics, figure, [...CONTAINER, 'field'], async (tell) => {
      const owners = new Map(
        keeper.pictures().flatMap((one) => one.endpoint.nics.map(({ hostIf }) => [hostIf, one] as const)),
      );
      for (const one of await keeper.rates.statistics()) {
        const owner = owners.get(one.hostIf);
        if (owner !== undefined) tell({ ...labelsOf(owner), field: one.field }, figure.of(one));
      }
    });
}

function registerNode(metrics: Metrics, keeper: LimitsKeeper): void {
  new Gauge({
    name: 'sluice_limits_switches_open',
    help: 'Switches that are open on this node.',
    registers: [metrics],
    collect() {
      this.set(keeper.openNow().open.length);
    },
  });
  new Counter({
    name: 'sluice_limits_drift_repaired_total',
    help: 'Limits that somebody else had changed, and that were put back.',
    registers: [metrics],
    collect() {
      this.reset();
      this.inc(keeper.drifts());
    },
  });
  new Gauge({
    name: 'sluice_limits_shortfalls',
    help: 'Limits that are not as they should be; `sluice limits show` says why.',
    labelNames: ['tenant'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const { desired, shortfalls } of keeper.pictures())
        this.inc({ tenant: desired.subject.tenant }, shortfalls.length);
    },
  });
}

/** What held them up is told by storaged, which has their clients. */
function registerMounts(metrics: Metrics, keeper: LimitsKeeper): void {
  new Gauge({
    name: 'sluice_limits_mounts',
    help: 'Mounts of shared volumes whose limits are kept.',
    labelNames: ['tenant'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const { tenant } of keeper.volumes.mounts()) this.inc({ tenant });
    },
  });
  new Gauge({
    name: 'sluice_limits_mounts_unread',
    help: 'Those of them that could not be asked what they hold.',
    registers: [metrics],
    collect() {
      const all = keeper.volumes.mounts();
      const isDead = (id: MountId): boolean => keeper.volumes.mountState(id)?.held === null;
      this.set(keeper.volumes.isUnread() ? all.length : all.filter(({ id }) => isDead(id)).length);
    },
  });
}

type Tell = (labels: Record<string, string>, value: number) => void;

function register(
  metrics: Metrics,
  { name, help, gauge = false }: Figure,
  labelNames: readonly string[],
  collect: (tell: Tell) => Promise<void>,
): void {
  const options = {
    name: `sluice_container_${name}`,
    help,
    labelNames: [...labelNames],
    registers: [metrics],
  };
  const tellInto = (metric: Gauge | Counter): Promise<void> => {
    metric.reset();
    return collect((labels, value) => metric.inc(labels, value));
  };
  if (gauge) {
    const made: Gauge = new Gauge({ ...options, collect: () => tellInto(made) });
  } else {
    const made: Counter = new Counter({ ...options, collect: () => tellInto(made) });
  }
}

function labelsOf({ endpoint }: ContainerPicture): Labels {
  const { tenant, containerId, containerName } = endpoint;
  return { tenant, container: containerId, name: containerName ?? '' };
}
