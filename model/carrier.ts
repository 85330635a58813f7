/** How packets between nodes carry their tenant (docs/tag-wire-format.md). */
import * as z from 'zod';

/** `option`: in an IPv4 option of the packet itself; `vxlan`: in a tunnel's header around it. */
export const Carrier = z.enum(['option', 'vxlan']);
export type Carrier = z.infer<typeof Carrier>;

/** Bytes that the roomier carrier adds: outer IPv4 20, UDP 8, VXLAN 8 and inner Ethernet 14 (RFC 7348). */
export const CARRIER_ROOM = 50;
