/** What the checks look at: a machine and its node, as plain records. */
import type { Address, ListedRoute } from '../../linux/addressing.ts';
import type { Link } from '../../linux/links.ts';
import type { Config } from '../../model/config.ts';
import type { IfName, NodeName } from '../../model/names.ts';
import type { PeerCarriers } from '../../tagqueue/probes/carriers.ts';
import type { NodeStatus } from '../supervisor/status.ts';
import type { MarkWriter } from './mark-writes.ts';

/** Read in a few milliseconds: enough to say whether a node can be put up. */
export interface MachineFacts {
  readonly root: boolean;
  readonly node: NodeName;
  readonly uplinkName: IfName | undefined;
  readonly network: Config['network'];
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly ListedRoute[];
  /** Kernel settings by their path below /proc/sys; undefined where the kernel has none. */
  readonly settings: ReadonlyMap<string, string | undefined>;
  /** What is to enforce the fence. */
  readonly plane: Config['tagqueue']['plane'];
  /** The compiled eBPF programs. */
  readonly object: { readonly path: string; readonly there: boolean };
  readonly sockets: readonly SocketFacts[];
  readonly directories: readonly DirectoryFacts[];
  /** Base chains of others that hear forwarded packets. */
  readonly firewalls: readonly Firewall[];
}

export interface SocketFacts {
  readonly path: string;
  /** Permission bits and owner; undefined when there is no such socket. */
  readonly access: { readonly mode: number; readonly uid: number } | undefined;
}

export interface DirectoryFacts {
  readonly path: string;
  readonly access: { readonly mode: number; readonly uid: number } | undefined;
  readonly room: { readonly bytes: number; readonly files: number };
}

export interface Firewall {
  /** For people: 'nftables chain ip filter FORWARD' or 'iptables-legacy FORWARD'. */
  readonly name: string;
  readonly policy: 'accept' | 'drop';
}

/** What takes longer, or tries things out; for `sluice doctor` only. */
export interface ThoroughFacts extends MachineFacts {
  readonly version: string;
  readonly status: NodeStatus;
  readonly features: readonly Feature[];
  /** What the kernel was built without of what eBPF needs; undefined: nothing. */
  readonly lack: string | undefined;
  /** Names and values as ethtool has them; undefined when it could not be asked. */
  readonly offloads: ReadonlyMap<string, boolean> | undefined;
  readonly clockSynchronized: boolean | undefined;
  /** What shared volumes take. */
  readonly storage: {
    readonly volumes: Config['storage']['volumes'];
    /** Programs that are not installed. */
    readonly missing: readonly string[];
    readonly translator: { readonly path: string; readonly there: boolean };
    /** What the kernel has not, in words. */
    readonly lacks: readonly string[];
  };
  /** Rules of others that write packet marks or connection marks. */
  readonly markWriters: readonly MarkWriter[];
  /** As tagqueue tells it; undefined when it does not. */
  readonly fastPath: { readonly on: boolean; readonly why?: string | null } | undefined;
  /** Whether the cluster has internal IPv6 and this node's plane cannot carry it; undefined when tagqueue does not say so. */
  readonly dropsIpv6: boolean | undefined;
  /** What tagqueue's trial of the carriers gave; undefined when it could not be made. */
  readonly carriers: { readonly used: string; readonly peers: readonly PeerCarriers[] } | undefined;
}

/** Something the kernel was asked to do in a network namespace made for it. */
export interface Feature {
  readonly name: string;
  readonly what: string;
  /** The kernel's refusal; undefined when it could do it. */
  readonly error: string | undefined;
}

/** `fail`: the node cannot work; `warn`: it works, but an operator should look. */
export type Level = 'ok' | 'warn' | 'fail';

export interface Finding {
  readonly id: string;
  readonly level: Level;
  /** What was found, in one sentence. */
  readonly found: string;
  /** What to do; undefined when nothing needs to be done. */
  readonly advice?: string;
}

export const ok = (id: string, found: string): Finding => ({ id, level: 'ok', found });
export const warn = (id: string, found: string, advice: string): Finding => ({
  id,
  level: 'warn',
  found,
  advice,
});
export const fail = (id: string, found: string, advice: string): Finding => ({
  id,
  level: 'fail',
  found,
  advice,
});
