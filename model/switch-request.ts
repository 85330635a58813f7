/** What is asked of the server about switches, and what it answers (docs/switches.md). */
import * as z from 'zod';
import { Capacity, LimitField, Subject } from './limits.ts';
import { NodeName, TenantName } from './names.ts';
import { Changes, Repetition, Selector, Switch, SwitchId } from './switch.ts';

/** One line for the audit log. */
export const Reason = z
  .string()
  .regex(/^(?=.*\S)[^\p{C}]{1,1000}$/u, 'must be one line of at most 1000 characters');

/** Up to the year 9999. */
const UnixMs = z.int().min(0).max(253_402_300_799_000);
const PresetName = z
  .string()
  .regex(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/, "must be a name of a-z, 0-9 and '-'");

/** Body of POST /v1/switches and of POST /v1/switches/plan. */
export const SwitchRequest = z.strictObject({
  /** From a plan's answer, so that `percent` chooses the same ones; default: a new one. */
  id: SwitchId.optional(),
  /** Default: the preset's name, else `switch`. */
  name: z.string().min(1).max(63).optional(),
  /** Without a word: every container, which asks for `all`. */
  select: Selector,
  /** Of the server's configuration; what is named here besides comes before what it says. */
  preset: PresetName.optional(),
  changes: Changes.optional(),
  percent: z.number().min(1).max(100).default(100),
  /** Default: the preset's, else 0. */
  priority: z.int().min(-1_000).max(1_000).optional(),
  /** Default: now. */
  from: UnixMs.optional(),
  /** One of the two, or a preset that says how long. */
  until: UnixMs.optional(),
  /** From `from` on. */
  forMs: z.int().min(1_000).optional(),
  repeat: Repetition.nullable().default(null),
  reason: Reason,
  /** Also when the nodes lack what it gives. */
  force: z.boolean().default(false),
  mayKill: z.boolean().default(false),
  /** Take what is missing from tenants of lower priority. */
  squeeze: z.boolean().default(false),
  /** Also when every container is chosen. */
  all: z.boolean().default(false),
});
export type SwitchRequest = z.infer<typeof SwitchRequest>;
/** As a client writes it: what has a default may be left out. */
export type SwitchWish = z.input<typeof SwitchRequest>;

const Value = z.union([z.number(), z.string(), z.null()]);

/** One field that the switch names: what it is, what it would be, and who else has a say. */
export const PlannedField = z.strictObject({
  field: LimitField,
  base: Value,
  now: Value,
  becomes: Value,
  /** Other switches that are open then and name this field. */
  others: z.array(SwitchId),
});
export type PlannedField = z.infer<typeof PlannedField>;

export const PlannedContainer = z.strictObject({
  subject: Subject,
  /** Whether its node has been heard of lately; else these are its last words. */
  reachable: z.boolean(),
  fields: z.array(PlannedField),
});
export type PlannedContainer = z.infer<typeof PlannedContainer>;

export const PlannedShare = z.strictObject({
  node: NodeName,
  tenant: TenantName,
  reachable: z.boolean(),
  fields: z.array(PlannedField),
});
export type PlannedShare = z.infer<typeof PlannedShare>;

/** What a node does not have: all its containers' limits then, against its capacity. */
export const CapacityLack = z.strictObject({
  node: NodeName,
  of: Capacity.keyof(),
  has: z.number(),
  wanted: z.number(),
});
export type CapacityLack = z.infer<typeof CapacityLack>;

/** Answer of POST /v1/switches/plan. */
export const SwitchPlanned = z.strictObject({
  /** As it would be opened. */
  switch: Switch,
  /** Those that would be opened with it, to make room. */
  squeezes: z.array(Switch),
  containers: z.array(PlannedContainer),
  shares: z.array(PlannedShare),
  /** What is still missing. */
  lacks: z.array(CapacityLack),
  /** Nodes that have not been heard of lately, or never. */
  unreachable: z.array(NodeName),
  /** Why opening it like this would be refused; null: it would not. */
  refusal: z.strictObject({ code: z.string(), message: z.string(), hint: z.string() }).nullable(),
});
export type SwitchPlanned = z.infer<typeof SwitchPlanned>;

/**
 * `pending` waits for a second person, `waiting` for its time; `open` is in force, `between` two windows of a
 * repetition; `ended` came to its time, `closed` was closed before.
 */
export const SwitchPhase = z.enum(['pending', 'waiting', 'open', 'between', 'ended', 'closed']);
export type SwitchPhase = z.infer<typeof SwitchPhase>;

/** What has become of the switch at one container, or at one tenant's share of a node. */
export const SwitchEffect = z.strictObject({
  node: NodeName,
  tenant: TenantName,
  /** null: the tenant's share of the node. */
  subject: Subject.nullable(),
  /** `pending`: the node has not answered yet. */
  state: z.enum(['applied', 'partly', 'unreachable', 'pending']),
  why: z.string().nullable(),
});
export type SwitchEffect = z.infer<typeof SwitchEffect>;

/** An item of GET /v1/switches. */
export const SwitchListed = z.strictObject({
  ...Switch.shape,
  phase: SwitchPhase,
});
export type SwitchListed = z.infer<typeof SwitchListed>;

/** GET /v1/switches/:id and the answers of open, close, extend and approve. */
export const SwitchShown = z.strictObject({
  switch: Switch,
  phase: SwitchPhase,
  /** When it opens or closes next, Unix ms; null: never again. */
  next: z.strictObject({ what: z.enum(['opens', 'closes']), at: z.number() }).nullable(),
  squeezes: z.array(SwitchId),
  effects: z.array(SwitchEffect),
  /** Nodes that it could concern, and that have not been heard of lately, or never. */
  unreachable: z.array(NodeName),
  /** Whether every container that can be reached has answered. */
  settled: z.boolean(),
});
export type SwitchShown = z.infer<typeof SwitchShown>;

/** Body of POST /v1/switches/:id/close and of /v1/switches/close-all. */
export const CloseRequest = z.strictObject({ reason: Reason });
/** Body of POST /v1/switches/:id/extend. */
export const ExtendRequest = z.strictObject({
  until: UnixMs,
  reason: Reason,
  /** Also when the nodes lack what it gives, together with what will be open then. */
  force: z.boolean().default(false),
});
/** Body of POST /v1/switches/:id/approve. */
export const ApproveRequest = z.strictObject({ reason: Reason, force: z.boolean().default(false) });

/** ?waitMs=: how long to wait for the nodes' answers; at most 10 s. */
export const WaitQuery = z.strictObject({ waitMs: z.coerce.number().int().min(0).max(10_000).default(0) });
