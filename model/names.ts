/** The names of things, as branded types with one schema each. Everything a tenant or a runtime names passes here. */
import * as z from 'zod';

/** An RFC 1123 label: what DNS, Kubernetes and file systems all accept. */
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
/** What the CNI specification allows for container ids and network names (CNI 1.1, 'Parameters'). */
const CNI_WORD = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** IFNAMSIZ is 16 with the closing NUL (linux/if.h); the kernel refuses '/', ':' and white space (net/core/dev.c). */
const INTERFACE = /^(?!\.{1,2}$)[a-zA-Z0-9_.-]{1,15}$/;

const label = (what: string): z.ZodString =>
  z
    .string()
    .regex(LABEL, `${what} must be 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit`);
const word = (what: string, longest: number): z.ZodString =>
  z
    .string()
    .max(longest, `${what} must have at most ${longest} characters`)
    .regex(CNI_WORD, `${what} must start with a letter or digit, then letters, digits, '_', '.' and '-'`);

export const TenantName = label('a tenant name').brand<'TenantName'>();
export type TenantName = z.infer<typeof TenantName>;

export const NodeName = label('a node name').brand<'NodeName'>();
export type NodeName = z.infer<typeof NodeName>;

/** A Kubernetes namespace, mapped to a tenant by the server. */
export const NamespaceName = label('a namespace').brand<'NamespaceName'>();
export type NamespaceName = z.infer<typeof NamespaceName>;

/** A tenant's word for one of its volumes. */
export const VolumeName = label('a volume name').brand<'VolumeName'>();
export type VolumeName = z.infer<typeof VolumeName>;

/** The runtime's id of a container or pod sandbox (CNI_CONTAINERID). */
export const ContainerId = word('a container id', 128).brand<'ContainerId'>();
export type ContainerId = z.infer<typeof ContainerId>;

/** The name people gave a container; static addresses hang on it. */
export const ContainerName = word('a container name', 128).brand<'ContainerName'>();
export type ContainerName = z.infer<typeof ContainerName>;

export const NetworkName = word('a network name', 128).brand<'NetworkName'>();
export type NetworkName = z.infer<typeof NetworkName>;

export const IfName = z
  .string()
  .regex(INTERFACE, "an interface name must be 1 to 15 of letters, digits, '_', '.' and '-'")
  .brand<'IfName'>();
export type IfName = z.infer<typeof IfName>;

/** A tenant's number on the wire: 24 bits, and never 0, which means 'nobody'. */
export const TenantTag = z.int().min(1).max(0xff_ff_ff).brand<'TenantTag'>();
export type TenantTag = z.infer<typeof TenantTag>;

/** The fence's own probes bear this tag (docs/probes.md); no tenant ever does. */
export const PROBE_TAG = 0xff_ff_ff as TenantTag;

/** The generation of the key a tag was made with (docs/tag-wire-format.md). */
export const KeyEpoch = z.int().min(0).max(0xff).brand<'KeyEpoch'>();
export type KeyEpoch = z.infer<typeof KeyEpoch>;
