/**
 * The packet mark, which a host's firewall, its container runtime and we share: in the bits of a mask it carries a
 * tenant's index on this node, and all other bits belong to others.
 */
import * as z from 'zod';

/** Contiguous bits of a 32-bit mark, 4 to 16 of them. */
export const MarkMask = z
  .int()
  .min(1)
  .max(0xffff_ffff)
  .refine((mask) => isContiguous(mask), 'must be one run of bits, such as 0xfff00000')
  .refine((mask) => bitsOf(mask) >= 4 && bitsOf(mask) <= 16, 'must have 4 to 16 bits')
  .brand<'MarkMask'>();
export type MarkMask = z.infer<typeof MarkMask>;

/** A tenant's index in its place within the mask. */
export type Mark = number & { readonly mark: true };

/**
 * Clear of kube-proxy (0x4000, 0x8000), the port mapping of CNI's own plugins (0x2000), Cilium (0x0f00 and below),
 * Istio (0x539) and Tailscale (0x40000, 0x80000). Calico's default 0xffff0000 overlaps: choose another there.
 */
export const DEFAULT_MARK_MASK = 0xfff0_0000 as MarkMask;

function isContiguous(mask: number): boolean {
  return /^1+0*$/.test(mask.toString(2));
}

function bitsOf(mask: number): number {
  return mask.toString(2).replaceAll('0', '').length;
}

/** How far the lowest bit of the mask is from bit 0. */
export function shiftOf(mask: MarkMask): number {
  return mask.toString(2).length - bitsOf(mask);
}

/** How many tenants one node can tell apart: the index 0 means nobody, and the last one is the fence's own probes'. */
export function largestIndex(mask: MarkMask): number {
  return probeIndex(mask) - 1;
}

/** The index of the fence's own probes: their mark is the mask itself. */
export function probeIndex(mask: MarkMask): number {
  return 2 ** bitsOf(mask) - 1;
}

/** @param index  1 to `largestIndex(mask)` */
export function markOf(index: number, mask: MarkMask): Mark {
  return (index * 2 ** shiftOf(mask)) as Mark;
}

/** @returns 0 when the mark names nobody */
export function indexOfMark(mark: number, mask: MarkMask): number {
  return ((mark & mask) >>> 0) / 2 ** shiftOf(mask);
}
