/** Who takes part in a proof, and where: containers on this node, containers on a peer, and what lies around them. */
import type { Netns } from '../../linux/netns.ts';
import type { Destination } from '../../linux/probe-sockets.ts';
import { type Ipv4, type Mac, macOfAddress } from '../../model/addresses.ts';
import type { Nic, PublishedPort, Side } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import type { IfName, NodeName } from '../../model/names.ts';

/** A container on this node: its namespace is at hand, so what it sends and receives can be seen. */
export interface LocalActor {
  /** Such as 'blue/b1'. */
  readonly label: string;
  readonly netns: Netns;
  readonly nics: readonly Nic[];
}

/** A container on another node: it answers pings, and more is not known of it. */
export interface RemoteActor {
  readonly label: string;
  readonly address: Ipv4;
  /** Where its namespace is at hand as well, arrivals are watched there and not only by its answers. */
  readonly watch?: { readonly netns: Netns; readonly ifName: IfName };
}

/** The peer's containers: one of each tenant. */
export interface Peer {
  readonly node: NodeName;
  readonly blue: RemoteActor;
  readonly red: RemoteActor;
}

/** A published port of a container. */
export interface Publication {
  readonly actor: LocalActor;
  readonly port: PublishedPort;
  /** Whether something answers behind it already; else the check puts a listener there. */
  readonly served: boolean;
}

export interface Stage {
  readonly node: NodeName;
  /** Which plane enforces: 'ebpf'. */
  readonly plane: string;
  /** The node's own network namespace. */
  readonly netns: Netns;
  readonly uplink: { readonly ifName: IfName; readonly address: Ipv4 };
  /** Two containers of one tenant and one of another. */
  readonly blue: readonly [LocalActor, LocalActor];
  readonly red: LocalActor;
  /** Absent: with the reason why. */
  readonly peer: Peer | { readonly missing: string };
  readonly publication: Publication | undefined;
  /** An address beyond NAT that answers. */
  readonly egress: Ipv4 | undefined;
  /** Services of the cluster that containers must not reach. */
  readonly services: readonly Destination[];
  /** A place outside, from which published ports are tried too. */
  readonly outside: Netns | undefined;
}

/** @throws SluiceError `not_found` for a container without an interface on that side. */
export function nicOn({ label, nics }: LocalActor, side: Side): Nic {
  const nic = nics.find((one) => one.side === side);
  if (nic !== undefined) return nic;
  throw new SluiceError(
    'not_found',
    `${label} has no ${side} interface`,
    'give the proof containers with both',
  );
}

/** What a frame says about its sender. */
export interface Identity {
  /** In words, for the report. */
  readonly who: string;
  readonly mac: Mac;
  readonly address: Ipv4;
}

export function identityOf(actor: LocalActor, side: Side): Identity {
  const { mac, address } = nicOn(actor, side);
  return { who: actor.label, mac, address };
}

/** The host's end of the container's network: MAC addresses of bridges follow from their addresses. */
export function gatewayOf(actor: LocalActor, side: Side): Identity {
  const { gateway } = nicOn(actor, side);
  return { who: 'the gateway', mac: macOfAddress(gateway), address: gateway };
}
