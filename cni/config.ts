/** The network configuration a runtime writes to the plugin's standard input: one strict schema. */
import * as z from 'zod';
import { Ipv4 } from '../model/addresses.ts';
import { Side } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import { AppName, Labels } from '../model/limits.ts';
import { ContainerId, ContainerName, IfName, NetworkName, TenantName } from '../model/names.ts';
import { OurIfName } from './environment.ts';
import { configError, quoted, UNSUPPORTED } from './error.ts';
import { PreviousResult } from './previous.ts';
import { CniVersion } from './version.ts';
import { AddressWish, CAPABILITIES, DnsConfig, RuntimeConfig } from './wishes.ts';

const HINT = 'correct the network configuration; docs/cni.md lists its keys';

/** Docker, podman and Kubernetes all call the first interface eth0. */
const OTHER_INTERFACE = 'eth1' as IfName;

/** One side of the container; null for a container that has none on that side. */
const SideConfig = z
  .strictObject({
    /** The interface's name where this side is not the primary one. */
    interface: OurIfName.default(OTHER_INTERFACE),
  })
  .nullable()
  .prefault({});

/** Addresses that are kept for a container by its name. */
const StaticAddresses = z
  .strictObject({ internal: Ipv4.optional(), external: Ipv4.optional() })
  .refine((sides) => Object.keys(sides).length > 0, 'must name an internal or an external address');
export type StaticAddresses = z.infer<typeof StaticAddresses>;

/** Addresses are netd's; a delegated plugin would give out the ones netd keeps. */
const NoIpam = z.unknown().superRefine((ipam, context) => {
  if (Object.keys(Object(ipam)).length === 0 && typeof ipam !== 'string') return;
  const message = `${quoted(ipam)} is not supported: netd gives the addresses, so leave ipam out`;
  context.addIssue({ code: 'custom', params: UNSUPPORTED, message });
});

/** Runtimes put what they like under `args`; only the conventions' `cni.ips` means something to us. */
const Args = z.looseObject({ cni: z.looseObject({ ips: z.array(AddressWish).optional() }).optional() });

const flags = Object.fromEntries(CAPABILITIES.map((name) => [name, z.boolean().optional()]));

export const NetworkConfig = z
  .strictObject({
    cniVersion: CniVersion,
    name: NetworkName,
    type: z.string().regex(/^[^/\\]+$/, 'must be the name of the plugin'),
    /** Where relay.c finds netd's socket; to netd itself it says nothing. */
    runDir: z.string().optional(),
    tenant: TenantName.optional(),
    /** By which switches choose the network's containers. */
    app: AppName.optional(),
    labels: Labels.default({}),
    /** Whether CNI_ARGS may name the tenant, the app and labels. */
    trustArgs: z.boolean().default(false),
    /** The side that takes CNI_IFNAME and the default route. */
    primary: Side.optional(),
    external: SideConfig,
    internal: SideConfig,
    ipv6: z.boolean().default(false),
    /** Whether /proc of the containers shows their own CPUs, memory, load and uptime. */
    views: z.boolean().default(false),
    /** Whether a container that comes back under its name gets its last addresses again. */
    sticky: z.boolean().default(false),
    static: z.record(ContainerName, StaticAddresses).default({}),
    dns: DnsConfig.nullish(),
    ipam: NoIpam.optional(),
    args: Args.nullish(),
    capabilities: z.strictObject(flags).nullish(),
    runtimeConfig: RuntimeConfig.nullish(),
    prevResult: PreviousResult.nullish(),
    // Of the whole list, meant for the runtime; some runtimes hand them on.
    cniVersions: z.unknown().optional(),
    disableCheck: z.unknown().optional(),
    disableGC: z.unknown().optional(),
    loadOnlyInlinedPlugins: z.unknown().optional(),
  })
  .superRefine((config, context) => {
    for (const [key, message] of [...contradictions(config), ...staticContradictions(config)]) {
      context.addIssue({ code: 'custom', path: [key], message });
    }
  });
export type NetworkConfig = z.infer<typeof NetworkConfig>;

interface Sides {
  readonly external: object | null;
  readonly internal: object | null;
}

/** Pairs of a key and what is wrong with it. */
function* contradictions(config: Sides & { primary?: Side | undefined }): Generator<[string, string]> {
  const { external, internal, primary } = config;
  if (external === null && internal === null) yield ['internal', 'must not be null where external is, too'];
  else if (primary !== undefined && config[primary] === null)
    yield ['primary', `names ${primary}, which is null`];
}

function* staticContradictions(
  config: Sides & { static: Readonly<Record<string, StaticAddresses>> },
): Generator<[string, string]> {
  const owners = new Map<Ipv4, string>();
  for (const [name, kept] of Object.entries(config.static)) {
    for (const side of Side.options) {
      const address = kept[side];
      if (address === undefined) continue;
      if (config[side] === null) yield ['static', `${name} has an ${side} address, but ${side} is null`];
      if (owners.has(address)) yield ['static', `${address} stands for ${owners.get(address)} and ${name}`];
      owners.set(address, name);
    }
  }
}

/** The list of attachments to keep, in GC (CNI 1.1, 'GC'). libcni sends null when there are none. */
const ValidAttachments = z
  .array(z.looseObject({ containerID: ContainerId, ifname: IfName }))
  .nullable()
  .transform((list) => list ?? []);

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * @param text  standard input, as it came
 * @throws SluiceError `invalid_json`, or `invalid_network_config` for JSON that is no object
 */
export function parseJsonObject(text: string): JsonObject {
  const json = parseJson(text);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new SluiceError('invalid_network_config', 'the network configuration is not an object', HINT);
  }
  if ('plugins' in json) {
    const hint = "give one entry of 'plugins', with cniVersion and name of the list, as runtimes do";
    throw new SluiceError('invalid_network_config', 'this is a list of plugins (a .conflist)', hint);
  }
  return json as JsonObject;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw notJson(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

function notJson(reason: string): SluiceError {
  const message = `the network configuration is not JSON: ${quoted(reason)}`;
  return new SluiceError('invalid_json', message, 'give one JSON object on standard input');
}

/**
 * @throws SluiceError `invalid_network_config` naming the keys, `unsupported_field`
 */
export function parseConfig(json: JsonObject): NetworkConfig {
  // The protocol's own keys: reserved, so no schema of ours can clash, and new ones must not break us.
  const own = Object.entries(json).filter(([key]) => !key.startsWith('cni.dev/'));
  return checked(NetworkConfig, Object.fromEntries(own));
}

/** @throws SluiceError `invalid_network_config` */
export function parseNetworkName(json: JsonObject): NetworkName {
  return checked(z.object({ name: NetworkName }), json).name;
}

/**
 * The attachments GC must keep. A list that is missing or holds a name we cannot read is refused: taking
 * either for 'none' would remove live containers.
 *
 * @throws SluiceError `invalid_network_config`
 */
export function parseValidAttachments(
  json: JsonObject,
): { readonly containerId: ContainerId; readonly ifName: IfName }[] {
  const key = 'cni.dev/valid-attachments';
  const list = checked(z.object({ [key]: ValidAttachments }), json)[key] ?? [];
  return list.map(({ containerID, ifname }) => ({ containerId: containerID, ifName: ifname }));
}

function checked<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw configError(parsed.error, HINT);
}
