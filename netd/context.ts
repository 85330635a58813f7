/** What every verb of netd works with. */
import type { ClusterView } from '../model/cluster.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import type { MarkMask } from '../model/mark.ts';
import type { PortPlane } from '../tagqueue/port-binding.ts';
import type { AttachContext, Checkpoint, PortLimits } from './endpoint-apply.ts';
import type { NodeFacts } from './facts.ts';
import type { FlowLimits } from './flow-limits.ts';
import type { Kernel } from './kernel.ts';
import type { KeyedLock } from './keyed-lock.ts';
import type { Registry } from './registry.ts';
import type { Service } from './service-ports.ts';

/** What the verbs tell the keeper of limits (netd/limits). */
export interface EndpointLimits extends PortLimits {
  /** It is ready: its cgroup will soon be there to be found. */
  attached(): void;
  /** Nothing is left of it. */
  release(endpoint: Endpoint): Promise<void>;
  /** What the kernel lacks of its rates, in words. */
  faultsOf(endpoint: Endpoint): Promise<string[]>;
}

export interface Netd {
  readonly kernel: Kernel;
  readonly registry: Registry;
  /** One operation at a time for one container. */
  readonly locks: KeyedLock;
  readonly checkpoint: Checkpoint;
  /** Wall clock, Unix ms. */
  readonly now: () => number;
  readonly log: Log;
  /** The bits of the packet mark that are ours. */
  readonly markMask: MarkMask;
  /** UDP port of the tunnel between hosts. */
  readonly vxlanPort: number;
  readonly flowLimits: FlowLimits;
  readonly limits: EndpointLimits;
  /** Whether containers may be shown their own figures here. */
  readonly views: { readonly enabled: boolean };
  /** The newest picture of the cluster; undefined until the first one has come. */
  view(): ClusterView | undefined;
  /** undefined until this node has its blocks. */
  facts(): NodeFacts | undefined;
  /** undefined until tagqueue has told where the plane is. */
  plane(): PortPlane | undefined;
  /** Whether kernel and records have been brought together since this process started. */
  settled(): boolean;
  /** Why the last attempt at it failed; undefined when none has. */
  trouble(): SluiceError | undefined;
  /** Where the cluster's own daemons and this node's tunnel listen: containers must not reach them through NAT. */
  services(): readonly Service[];
}

/** Everything ADD needs, or the reason why it has to wait. */
export function requireReady(netd: Netd): Ready {
  const parts = requireParts(netd);
  if (netd.settled()) return parts;
  const trouble = netd.trouble();
  throw new SluiceError(
    'try_again',
    trouble?.message ?? 'netd is still comparing this node with its records',
    trouble?.hint ?? 'try again in a moment',
  );
}

export interface Ready {
  readonly view: ClusterView;
  readonly attach: AttachContext;
}

/** @throws SluiceError `try_again` naming the daemon that is missing. */
export function requireParts(netd: Netd): Ready {
  const view = netd.view();
  const facts = netd.facts();
  const plane = netd.plane();
  if (view === undefined || facts === undefined) {
    throw new SluiceError(
      'try_again',
      'this node has not heard from its server yet',
      'start it: systemctl start sluice-server, or sluice up',
    );
  }
  if (plane === undefined) {
    throw new SluiceError(
      'try_again',
      'the fence of this node does not stand yet',
      'start it: systemctl start sluice-tagqueue, or sluice up',
    );
  }
  const { kernel, checkpoint, limits } = netd;
  return { view, attach: { kernel, facts, plane, checkpoint, limits } };
}
