/** A refused packet as every part of the system tells it: the node that refused it, the server, the command. */
import * as z from 'zod';
import { NodeName, TenantName } from './names.ts';

/** Addresses, ports and names from a packet that was refused: bounded, and otherwise believed as little as it was. */
const Word = z.string().max(128);
const Port = z.int().min(0).max(65_535);

/** What the first bytes of a frame say. Absent is what was not captured or does not exist in such a frame. */
export const HeaderSummary = z.strictObject({
  sourceMac: Word,
  destinationMac: Word,
  etherType: Port,
  /** IPv4 or IPv6 addresses. */
  source: Word.optional(),
  destination: Word.optional(),
  /** IPv4's protocol field or IPv6's last next-header field. */
  protocol: z.int().min(0).max(255).optional(),
  sourcePort: Port.optional(),
  destinationPort: Port.optional(),
  /** ARP: 1 asks, 2 answers (RFC 826). */
  arpOperation: Port.optional(),
  /** What a tag in the packet claims, believed or not. */
  claimedTag: z.int().min(0).max(0xff_ff_ff).optional(),
});
export type HeaderSummary = z.infer<typeof HeaderSummary>;

export const DropEvent = z.strictObject({
  /** ISO 8601, UTC. */
  time: z.iso.datetime(),
  node: NodeName,
  /** The tenant whose port it was, or whose mark the packet had; 0: nobody's. */
  tag: z.int().min(0).max(0xff_ff_ff),
  /** null: nobody's, or a tenant that this node does not know (any more). */
  tenant: TenantName.nullable(),
  /** null: no container's interface, or one that is gone. */
  container: z.strictObject({ id: Word, name: Word.nullable(), ifName: Word }).nullable(),
  ifindex: z.int().min(0),
  /** Absent when the interface is gone. */
  interface: Word.optional(),
  /** A name of tagqueue/reasons.ts; `unknown` when the programs are newer than this code. */
  reason: Word,
  /** Where: a program of the fence, or the guard. */
  hook: Word,
  /** The rule of the guard that refused it. */
  rule: Word.optional(),
  /** The name that the refused flow asked for, where it asked for one. */
  domain: Word.optional(),
  /** Of the whole frame, in bytes, at most 65535. */
  length: Port,
  /** Absent when not even the Ethernet header was there. */
  header: HeaderSummary.optional(),
});
export type DropEvent = z.infer<typeof DropEvent>;

/** In the place of events that came faster than they could be passed on. */
export interface MissedEvents {
  readonly missed: number;
}

/** How many a node reports at once. */
export const MOST_REPORTED = 200;

/** Body of POST /v1/nodes/:node/drops. */
export const DropReport = z.strictObject({ events: z.array(DropEvent).max(MOST_REPORTED) });
export type DropReport = z.infer<typeof DropReport>;

/** What to show of them. */
export interface DropFilter {
  readonly tenant?: string | undefined;
  readonly reason?: string | undefined;
}

export function isWanted(event: DropEvent, { tenant, reason }: DropFilter): boolean {
  return (
    (tenant === undefined || event.tenant === tenant) && (reason === undefined || event.reason === reason)
  );
}
