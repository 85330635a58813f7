/** How one process tells another where the plane is: by kernel ids, which no mount namespace hides. */
import * as z from 'zod';
import { NodeName } from '../model/names.ts';
import { MAP_NAMES, PROGRAM_NAMES } from './maps.ts';

const KernelId = z.int().min(1);

/** The answer of `GET /v1/plane`. Programs change when the plane is upgraded; maps stay. */
export const PlaneIds = z.strictObject({
  node: NodeName,
  programs: z.record(z.enum(PROGRAM_NAMES), KernelId),
  maps: z.record(z.enum(MAP_NAMES), KernelId),
});
export type PlaneIds = z.infer<typeof PlaneIds>;

/** The same question's answer where the plane is rules and packet queues: everything is in this table of the family bridge. */
export const NfqueuePlaneIds = z.strictObject({
  node: NodeName,
  nfqueue: z.strictObject({
    table: z.string().regex(/^[a-z0-9_]+$/),
    /** Whether the rules stand that carry flows between nodes through a tunnel device. */
    flows: z.boolean(),
  }),
});
export type NfqueuePlaneIds = z.infer<typeof NfqueuePlaneIds>;

export const AnyPlaneIds = z.union([PlaneIds, NfqueuePlaneIds]);
