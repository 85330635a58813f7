/** A probe: an endpoint that one node puts up for a short time, so that another can prove the fence against it. */
import * as z from 'zod';
import { Ipv4 } from './addresses.ts';
import { NodeName, TenantName } from './names.ts';

export const ProbeId = z
  .string()
  .regex(/^[0-9a-f]{16}$/, 'a probe id has 16 hex digits')
  .brand<'ProbeId'>();
export type ProbeId = z.infer<typeof ProbeId>;

/** Asked for by whoever verifies. */
export const ProbeRequest = z.strictObject({
  node: NodeName,
  tenant: TenantName,
  /** The server forgets the probe after this time, and the node then takes it down. */
  ttlSeconds: z.int().min(1).max(120),
});
export type ProbeRequest = z.infer<typeof ProbeRequest>;

/** Reported by the node that puts it up. */
export const ProbeStatus = z.strictObject({
  ready: z.boolean(),
  internalAddress: Ipv4.nullable(),
  externalAddress: Ipv4.nullable(),
  error: z.string().max(1_000).optional(),
});
export type ProbeStatus = z.infer<typeof ProbeStatus>;

export const Probe = z.strictObject({
  id: ProbeId,
  node: NodeName,
  tenant: TenantName,
  /** Unix time in ms. */
  expiresAt: z.number(),
  status: ProbeStatus.nullable(),
});
export type Probe = z.infer<typeof Probe>;
