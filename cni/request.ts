/** One call of the plugin, from environment and standard input to a typed request, checked as a whole. */
import type { Ipv4, Mac } from '../model/addresses.ts';
import type { Bandwidth, Dns, PublishedPort, Side } from '../model/endpoint.ts';
import { SluiceError } from '../model/errors.ts';
import type { Labels } from '../model/limits.ts';
import { ContainerName, type IfName, type NetworkName } from '../model/names.ts';
import { type CniArgs, parseArgs } from './args.ts';
import {
  type NetworkConfig,
  parseConfig,
  parseJsonObject,
  parseNetworkName,
  parseValidAttachments,
  type StaticAddresses,
} from './config.ts';
import {
  type AttachmentId,
  type Environment,
  readAttachmentId,
  readCommand,
  readNetns,
  readNetnsOverride,
} from './environment.ts';
import { type PreviousResult, requireConvertible } from './previous.ts';
import { type CniVersion, NEWEST_CNI_VERSION, supportedVersion, versionForErrors } from './version.ts';

/** An interface the container is to have. */
export interface WantedNic {
  readonly side: Side;
  readonly ifName: IfName;
}

/** What the container is to have, from the network, the runtime's capability arguments and CNI_ARGS. */
export interface Wishes {
  /** Primary first. */
  readonly nics: readonly WantedNic[];
  /** Addresses the runtime asks for; which side each belongs to follows from the block that holds it. */
  readonly ips: readonly Ipv4[];
  /** Addresses the network keeps for this container's name. */
  readonly staticAddresses: StaticAddresses;
  /** For the primary interface. */
  readonly mac: Mac | null;
  readonly ports: readonly PublishedPort[];
  readonly dns: Dns | null;
  readonly aliases: readonly string[];
  readonly cgroupPath: string | null;
  readonly bandwidth: Bandwidth | null;
  readonly podAnnotations: Readonly<Record<string, string>>;
  /** By which switches choose it. Pod annotations have no say: tenants write those. */
  readonly app: string | null;
  readonly labels: Labels;
  readonly ipv6: boolean;
  readonly views: boolean;
  readonly sticky: boolean;
}

interface OfNetwork {
  readonly cniVersion: CniVersion;
  readonly network: NetworkName;
}

/** ADD makes what is wished for; CHECK compares the same wishes with what is there. */
export interface AttachRequest extends OfNetwork, AttachmentId {
  readonly command: 'ADD' | 'CHECK';
  /** Path of the container's network namespace, in the runtime's mount namespace. */
  readonly netns: string;
  /** Whether the node's own namespace is allowed in that place. */
  readonly netnsOverride: boolean;
  /** The people's name of the container; null when the runtime gave none that is usable. */
  readonly containerName: ContainerName | null;
  readonly config: NetworkConfig;
  readonly args: CniArgs;
  readonly wishes: Wishes;
  readonly previous: PreviousResult | null;
}

/**
 * DEL reads only what names the attachment. A configuration that ADD refused must still be removable:
 * runtimes call DEL after a failed ADD, and cannot get rid of a container whose DEL fails.
 */
export interface DelRequest extends OfNetwork, AttachmentId {
  readonly command: 'DEL';
}

export interface GcRequest extends OfNetwork {
  readonly command: 'GC';
  /** Every other attachment to this network is stale. */
  readonly validAttachments: readonly AttachmentId[];
}

export interface StatusRequest extends OfNetwork {
  readonly command: 'STATUS';
}

export interface VersionRequest {
  readonly command: 'VERSION';
  /** As the runtime named it, supported or not. */
  readonly cniVersion: string;
}

export type CniRequest = AttachRequest | DelRequest | GcRequest | StatusRequest | VersionRequest;

/**
 * @param env    the CNI_* variables; others are not read
 * @param stdin  the network configuration
 * @throws SluiceError `invalid_environment`, `invalid_json`, `incompatible_version`,
 *   `invalid_network_config`, `unsupported_field` or `refused`; nothing else
 */
export function parseRequest(env: Environment, stdin: string): CniRequest {
  const command = readCommand(env);
  switch (command) {
    case 'VERSION':
      return { command, cniVersion: versionForErrors(stdin) };
    case 'ADD':
    case 'CHECK':
      return parseAttach(command, env, stdin);
    case 'DEL': {
      const id = readAttachmentId(env);
      const json = parseJsonObject(stdin);
      return {
        command,
        ...id,
        cniVersion: supportedVersion(json['cniVersion']),
        network: parseNetworkName(json),
      };
    }
    case 'GC':
    case 'STATUS':
      return parseOfNetwork(command, stdin);
  }
}

function parseAttach(command: 'ADD' | 'CHECK', env: Environment, stdin: string): AttachRequest {
  const id = readAttachmentId(env);
  const netns = readNetns(env);
  const args = parseArgs(env['CNI_ARGS']);
  const json = parseJsonObject(stdin);
  const cniVersion = supportedVersion(json['cniVersion']);
  const config = parseConfig(json);
  const containerName = containerNameOf(args);
  const previous = config.prevResult ?? null;
  if (previous !== null) requireConvertible(previous);
  const wishes = wishesOf(config, args, id.ifName, containerName);
  const netnsOverride = readNetnsOverride(env);
  return {
    ...{ command, ...id, cniVersion, network: config.name, netns, netnsOverride },
    ...{ containerName, config, args, wishes, previous },
  };
}

function parseOfNetwork(command: 'GC' | 'STATUS', stdin: string): GcRequest | StatusRequest {
  const json = parseJsonObject(stdin);
  const cniVersion = supportedVersion(json['cniVersion']);
  if (cniVersion !== NEWEST_CNI_VERSION) {
    const message = `${command} does not exist in cniVersion ${cniVersion}`;
    throw new SluiceError('incompatible_version', message, `set cniVersion to ${NEWEST_CNI_VERSION}`);
  }
  const network = parseConfig(json).name;
  if (command === 'STATUS') return { command, cniVersion, network };
  return { command, cniVersion, network, validAttachments: parseValidAttachments(json) };
}

/**
 * SLUICE_NAME, else the pod's name behind its namespace, else what podman gives as the pod's name.
 * The namespace is part of it because tenants choose the names of their pods: without it a pod called
 * like another tenant's would take that one's static address. A namespace has no '.', so two pods never
 * share a name. Kubernetes allows names longer than ours; such a pod runs, but nothing hangs on its name.
 */
function containerNameOf({ name, podNamespace, podName }: CniArgs): ContainerName | null {
  if (name !== null) return name;
  const full = podNamespace === null ? podName : `${podNamespace}.${podName ?? ''}`;
  return podName === null ? null : (ContainerName.safeParse(full).data ?? null);
}

function wishesOf(
  config: NetworkConfig,
  args: CniArgs,
  ifName: IfName,
  containerName: ContainerName | null,
): Wishes {
  const asked = config.runtimeConfig ?? {};
  const nics = nicsOf(config, ifName);
  const ports = asked.portMappings ?? [];
  if (ports.length > 0 && config.external === null) {
    const hint = 'remove the published ports, or give the network an external side';
    throw new SluiceError(
      'invalid_network_config',
      'portMappings needs the external side, which is null',
      hint,
    );
  }
  return {
    nics,
    // The conventions: what comes structured is meant, and CNI_ARGS then ignored.
    ips: asked.ips ?? config.args?.cni?.ips ?? (args.ip === null ? [] : [args.ip]),
    staticAddresses: staticAddressesOf(config, containerName),
    mac: asked.mac ?? args.mac,
    ports,
    dns: dnsOf(config),
    aliases: aliasesOf(config),
    cgroupPath: asked.cgroupPath || null,
    bandwidth: asked.bandwidth ?? null,
    podAnnotations: asked['io.kubernetes.cri.pod-annotations'] ?? {},
    ...choosableAs(config, args),
    ipv6: config.ipv6,
    views: config.views,
    sticky: config.sticky,
  };
}

/** Ignored where they do not count, they would leave a container out of what its operator believes it to be in. */
function choosableAs(config: NetworkConfig, { app, labels }: CniArgs): Pick<Wishes, 'app' | 'labels'> {
  if (!config.trustArgs && (app !== null || labels !== null)) {
    throw new SluiceError(
      'refused',
      `CNI_ARGS gives ${app === null ? 'SLUICE_LABELS' : 'SLUICE_APP'}, but this network does not trust arguments`,
      'leave it out, or set "trustArgs": true if only operators can write CNI_ARGS here',
    );
  }
  return { app: app ?? config.app ?? null, labels: { ...config.labels, ...labels } };
}

function staticAddressesOf(config: NetworkConfig, name: ContainerName | null): StaticAddresses {
  return name !== null && Object.hasOwn(config.static, name) ? (config.static[name] ?? {}) : {};
}

/** What the runtime says of a key replaces what the network says of it. */
function dnsOf(config: NetworkConfig): Dns | null {
  const dns = { ...config.dns, ...config.runtimeConfig?.dns };
  return Object.keys(dns).length === 0 ? null : dns;
}

/** podman gives aliases for every network of the container, each plugin all of them. */
function aliasesOf(config: NetworkConfig): readonly string[] {
  const aliases = config.runtimeConfig?.aliases ?? [];
  if (Array.isArray(aliases)) return aliases;
  return Object.hasOwn(aliases, config.name) ? (aliases[config.name] ?? []) : [];
}

function nicsOf(config: NetworkConfig, ifName: IfName): readonly WantedNic[] {
  const primary = config.primary ?? (config.external === null ? 'internal' : 'external');
  const second: Side = primary === 'external' ? 'internal' : 'external';
  const other = config[second];
  if (other === null) return [{ side: primary, ifName }];
  if (other.interface === ifName) {
    throw new SluiceError(
      'invalid_network_config',
      `both interfaces would be called ${ifName}: CNI_IFNAME and ${second}.interface`,
      `give ${second}.interface another name in the network configuration`,
    );
  }
  return [
    { side: primary, ifName },
    { side: second, ifName: other.interface },
  ];
}
