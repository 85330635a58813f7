/** What a node tells the server of its containers' limits: who is there, what holds, and what could not be had. */
import * as z from 'zod';
import { Capacity, LimitField, Subject } from './limits.ts';
import { NodeName, TenantName } from './names.ts';
import { SwitchId } from './switch.ts';

const Value = z.union([z.number(), z.string(), z.null()]);
const Values = z.partialRecord(LimitField, Value);

/** A field that is not as it should be, and why. */
export const Shortfall = z.strictObject({
  field: LimitField,
  wanted: Value,
  /** What the kernel has instead; absent where it could not be read. */
  kernel: Value.optional(),
  why: z.string(),
});
export type Shortfall = z.infer<typeof Shortfall>;

/** What has befallen limits: changed by somebody else and repaired, or a container's memory was not enough. */
export const LimitEvent = z.strictObject({
  /** Unix ms. */
  at: z.number(),
  what: z.enum(['drift', 'oom']),
  field: LimitField,
  /** One sentence for people. */
  text: z.string(),
});
export type LimitEvent = z.infer<typeof LimitEvent>;

/** How many events of one container, or of one tenant's share, are kept. */
export const EVENTS_KEPT = 8;

/** One container: applied where `shortfalls` is empty, else partly. */
export const ContainerLimits = z.strictObject({
  subject: Subject,
  base: Values,
  effective: Values,
  /** The switches that had a say. */
  switches: z.array(SwitchId),
  shortfalls: z.array(Shortfall),
  /** The last ones, oldest first. */
  events: z.array(LimitEvent).max(EVENTS_KEPT).default([]),
  /** Unix ms of the last read-back. */
  readAt: z.number(),
});
export type ContainerLimits = z.infer<typeof ContainerLimits>;

/** A tenant's share of the node. */
export const TenantShare = z.strictObject({
  tenant: TenantName,
  base: Values,
  effective: Values,
  switches: z.array(SwitchId),
  shortfalls: z.array(Shortfall),
  /** The last ones, oldest first. */
  events: z.array(LimitEvent).max(EVENTS_KEPT).default([]),
});
export type TenantShare = z.infer<typeof TenantShare>;

/** POST /v1/nodes/NODE/limits, answered by LimitsReportAnswer. `whole` replaces what the server knew of the node; else only those named are news. */
export const LimitsReport = z.strictObject({
  node: NodeName,
  /** Up to which revision of the cluster this is the answer. */
  revision: z.int().min(0),
  capacity: Capacity,
  whole: z.boolean(),
  containers: z.array(ContainerLimits).max(10_000),
  /** `containerId/ifName` of those that are gone. */
  gone: z.array(z.string()).max(10_000),
  tenants: z.array(TenantShare).max(10_000),
});
export type LimitsReport = z.infer<typeof LimitsReport>;

/** A node reports at least so often, also when it has no news: an empty report proves that it lives. */
export const REPORT_EVERY_MS = 1_000;

/** The server's answer. `whole`: it does not have the whole picture (it was started anew): send that next. */
export const LimitsReportAnswer = z.strictObject({ whole: z.boolean() });
export type LimitsReportAnswer = z.infer<typeof LimitsReportAnswer>;
