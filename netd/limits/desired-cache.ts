/** What is wanted of a node's limits, worked out anew only where something has changed: a node may have a thousand containers. */
import type { ClusterView } from '../../model/cluster.ts';
import { type Endpoint, endpointKey } from '../../model/endpoint.ts';
import type { Capacity, Limits } from '../../model/limits.ts';
import type { NodeName } from '../../model/names.ts';
import type { Switch } from '../../model/switch.ts';
import type { CgroupLimits } from '../../qos/contract.ts';
import {
  type Desired,
  type DesiredContainer,
  desiredContainer,
  desiredShares,
  type KnownContainer,
  type NodeLimits,
} from '../../qos/desired.ts';
import { cgroupHolders, knownContainer, subjectOf } from './container.ts';
import type { LimitRecords } from './records.ts';

interface Inputs {
  readonly endpoint: Endpoint;
  readonly captured: CgroupLimits | undefined;
  readonly operator: Limits;
  readonly holdsCgroup: boolean;
  readonly node: NodeLimits;
}

interface Cached extends Inputs {
  readonly known: KnownContainer;
  readonly desired: DesiredContainer;
}

type NodeInputs = Pick<ClusterView, 'plans' | 'defaults' | 'nodes'> & Pick<NodeLimits, 'open'>;

/** Everything that holds for all containers of the node is replaced, never changed: it is compared by identity. */
export class DesiredCache {
  readonly #node: NodeName;
  readonly #records: LimitRecords;
  readonly #capacity: () => Capacity;
  #cached = new Map<string, Cached>();
  #last: { readonly from: NodeInputs; readonly node: NodeLimits } | undefined;

  constructor(node: NodeName, records: LimitRecords, capacity: () => Capacity) {
    this.#node = node;
    this.#records = records;
    this.#capacity = capacity;
  }

  of(endpoints: readonly Endpoint[], view: ClusterView, open: readonly Switch[]): Desired {
    const node = this.#nodeLimits(view, open);
    const holders = cgroupHolders(endpoints);
    const cached = new Map<string, Cached>();
    for (const endpoint of endpoints) {
      const key = endpointKey(endpoint);
      cached.set(key, this.#one(endpoint, holders.has(key), node));
    }
    this.#cached = cached;
    const all = [...cached.values()];
    return {
      containers: all.map(({ desired }) => desired),
      shares: desiredShares(
        all.map(({ known }) => known),
        node,
      ),
    };
  }

  /** Of one container, whether it is on record or not. */
  one(endpoint: Endpoint, view: ClusterView, open: readonly Switch[]): Desired {
    const node = this.#nodeLimits(view, open);
    const { desired, known } = this.#one(endpoint, false, node);
    return { containers: [desired], shares: desiredShares([known], node) };
  }

  #nodeLimits({ plans, defaults, nodes }: ClusterView, open: readonly Switch[]): NodeLimits {
    const from: NodeInputs = { plans, defaults, nodes, open };
    if (this.#last !== undefined && isSame(this.#last.from, from)) return this.#last.node;
    const zone = nodes.get(this.#node)?.zone ?? null;
    const node = { ...{ node: this.#node, zone, plans, defaults, open }, capacity: this.#capacity() };
    this.#last = { from, node };
    return node;
  }

  #one(endpoint: Endpoint, holdsCgroup: boolean, node: NodeLimits): Cached {
    const { containerId } = endpoint;
    const captured = this.#records.captured(containerId);
    const operator = this.#records.operator(containerId);
    const inputs = { endpoint, captured, operator, holdsCgroup, node };
    const last = this.#cached.get(endpointKey(endpoint));
    if (last !== undefined && isSame<Inputs>(last, inputs)) return last;
    const subject = subjectOf(endpoint, node.node, node.zone);
    const known = knownContainer(endpoint, subject, this.#records, holdsCgroup);
    return { ...inputs, known, desired: desiredContainer(known, node) };
  }
}

/** Whether all that the second has is the very same in the first. */
function isSame<T extends object>(last: T, now: T): boolean {
  return (Object.keys(now) as (keyof T)[]).every((key) => last[key] === now[key]);
}
