/** What is wanted of a node's limits, worked out anew only where something has changed: a node may have a thousand containers. */
import type { ClusterView } from '../../model/cluster.ts';
import { type Endpoint, endpointKey } from '../../model/endpoint.ts';
import type { Capacity, LimitField, Limits, LimitValue } from '../../model/limits.ts';
import { fieldsOf } from '../../model/limits-tree.ts';
import type { HeldMount } from '../../model/mount-limits.ts';
import type { ContainerId, NodeName } from '../../model/names.ts';
import type { Switch } from '../../model/switch.ts';
import type { CgroupLimits } from '../../qos/contract.ts';
import {
  type Desired,
  type DesiredContainer,
  desiredContainer,
  desiredShares,
  type KnownContainer,
  type KnownMount,
  type NodeLimits,
} from '../../qos/desired.ts';
import { cgroupHolders, knownContainer, stranger, subjectOf } from './container.ts';
import type { LimitRecords } from './records.ts';

interface Inputs {
  readonly endpoint: Endpoint;
  readonly captured: CgroupLimits | undefined;
  readonly operator: Limits;
  readonly holdsCgroup: boolean;
  readonly mounts: readonly KnownMount[];
  readonly node: NodeLimits;
}

interface Cached extends Inputs {
  readonly known: KnownContainer;
  readonly desired: DesiredContainer;
}

const NO_MOUNTS: readonly KnownMount[] = [];

type NodeInputs = Pick<ClusterView, 'plans' | 'defaults' | 'nodes'> & Pick<NodeLimits, 'open'>;

/** Everything that holds for all containers of the node is replaced, never changed: it is compared by identity. */
export class DesiredCache {
  readonly #node: NodeName;
  readonly #records: LimitRecords;
  readonly #capacity: () => Capacity;
  readonly #mounts = new MountsByContainer();
  #cached = new Map<string, Cached>();
  #last: { readonly from: NodeInputs; readonly node: NodeLimits } | undefined;

  constructor(node: NodeName, records: LimitRecords, capacity: () => Capacity) {
    this.#node = node;
    this.#records = records;
    this.#capacity = capacity;
  }

  of(
    endpoints: readonly Endpoint[],
    held: readonly HeldMount[],
    view: ClusterView,
    open: readonly Switch[],
  ): Desired {
    const node = this.#nodeLimits(view, open);
    const holders = cgroupHolders(endpoints);
    const mounts = this.#mounts.of(held, view.volumes);
    const cached = new Map<string, Cached>();
    for (const endpoint of endpoints) {
      const key = endpointKey(endpoint);
      const holdsCgroup = holders.has(key);
      const own = (holdsCgroup && mounts.get(endpoint.containerId)) || NO_MOUNTS;
      cached.set(key, this.#one(endpoint, holdsCgroup, own, node));
    }
    this.#cached = cached;
    const all = [...cached.values()];
    const strangers = strangersAmong(held, mounts, endpoints, node);
    return {
      containers: all.map(({ desired }) => desired),
      strangers: strangers.map((one) => desiredContainer(one, node)),
      shares: desiredShares([...all.map(({ known }) => known), ...strangers], node),
    };
  }

  /** Of one container, whether it is on record or not. */
  one(endpoint: Endpoint, view: ClusterView, open: readonly Switch[]): Desired {
    const node = this.#nodeLimits(view, open);
    const { desired, known } = this.#one(endpoint, false, NO_MOUNTS, node);
    return { containers: [desired], strangers: [], shares: desiredShares([known], node) };
  }

  #nodeLimits({ plans, defaults, nodes }: ClusterView, open: readonly Switch[]): NodeLimits {
    const from: NodeInputs = { plans, defaults, nodes, open };
    if (this.#last !== undefined && isSame(this.#last.from, from)) return this.#last.node;
    const zone = nodes.get(this.#node)?.zone ?? null;
    const node = { ...{ node: this.#node, zone, plans, defaults, open }, capacity: this.#capacity() };
    this.#last = { from, node };
    return node;
  }

  #one(endpoint: Endpoint, holdsCgroup: boolean, mounts: readonly KnownMount[], node: NodeLimits): Cached {
    const { containerId } = endpoint;
    const captured = this.#records.captured(containerId);
    const operator = this.#records.operator(containerId);
    const inputs = { endpoint, captured, operator, holdsCgroup, mounts, node };
    const last = this.#cached.get(endpointKey(endpoint));
    if (last !== undefined && isSame<Inputs>(last, inputs)) return last;
    const subject = subjectOf(endpoint, node.node, node.zone);
    const known = knownContainer(endpoint, subject, this.#records, { holdsCgroup, mounts });
    return { ...inputs, known, desired: desiredContainer(known, node) };
  }
}

/** The same list for a container as long as nothing about its mounts has changed. */
class MountsByContainer {
  #from: readonly [held: readonly HeldMount[], volumes: ClusterView['volumes']] | undefined;
  #known = new Map<ContainerId, readonly KnownMount[]>();

  of(
    held: readonly HeldMount[],
    volumes: ClusterView['volumes'],
  ): ReadonlyMap<ContainerId, readonly KnownMount[]> {
    if (this.#from?.[0] === held && this.#from[1] === volumes) return this.#known;
    const now = new Map<ContainerId, KnownMount[]>();
    const clients = Map.groupBy(held, clientOf);
    for (const mount of held) {
      const known = knownMount(mount, clients.get(clientOf(mount)) ?? [], volumes);
      now.set(mount.container, [...(now.get(mount.container) ?? []), known]);
    }
    const last = this.#known;
    this.#known = new Map(
      [...now].map(([container, mounts]) => {
        const before = last.get(container);
        return [container, JSON.stringify(before) === JSON.stringify(mounts) && before ? before : mounts];
      }),
    );
    this.#from = [held, volumes];
    return this.#known;
  }
}

/** Mounts of one volume in one container are served by one process. */
function clientOf({ container, volume }: HeldMount): string {
  return `${container}/${volume}`;
}

/** @param same  mounts that have the same client, which cannot hold different limits */
function knownMount(
  { id, volume }: HeldMount,
  same: readonly HeldMount[],
  volumes: ClusterView['volumes'],
): KnownMount {
  return { id, volume, own: leastOf(same), ofVolume: volumes.get(volume)?.limits ?? {} };
}

function leastOf(mounts: readonly HeldMount[]): Limits {
  const least: { [F in LimitField]?: LimitValue } = {};
  for (const [field, value] of mounts.flatMap(({ limits }) => fieldsOf(limits))) {
    const present = least[field];
    if (present === undefined || present === null || (value !== null && value < present))
      least[field] = value;
  }
  return least;
}

/** Containers that have mounts and are not attached. */
function strangersAmong(
  held: readonly HeldMount[],
  mounts: ReadonlyMap<ContainerId, readonly KnownMount[]>,
  endpoints: readonly Endpoint[],
  { node, zone }: NodeLimits,
): KnownContainer[] {
  if (held.length === 0) return [];
  const attached = new Set(endpoints.map(({ containerId }) => containerId));
  const first = new Map(held.map((one) => [one.container, one]));
  return [...first.values()]
    .filter(({ container }) => !attached.has(container))
    .map((one) => stranger(one, mounts.get(one.container) ?? NO_MOUNTS, node, zone));
}

/** Whether all that the second has is the very same in the first. */
function isSame<T extends object>(last: T, now: T): boolean {
  return (Object.keys(now) as (keyof T)[]).every((key) => last[key] === now[key]);
}
