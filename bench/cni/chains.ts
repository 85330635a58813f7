/** The two chains of CNI plugins that are compared, as configurations. Both are asked for the same. */
import path from 'node:path';

/** A plugin of a chain: the program, and what it reads. */
export interface ChainPlugin {
  readonly program: string;
  readonly conf: Readonly<Record<string, unknown>>;
}

export interface ChainOptions {
  /** Whether each container publishes a port. */
  readonly port: boolean;
}

const LIST = { cniVersion: '1.0.0', name: 'bench' } as const;

/** Bits and bits per second: for the reference a token bucket on each side, ours writes them down. */
const BANDWIDTH = {
  ...{ ingressRate: 1_000_000_000, ingressBurst: 80_000_000 },
  ...{ egressRate: 1_000_000_000, egressBurst: 80_000_000 },
} as const;

/** The launcher puts a number in the place of this word, another for each container. */
const PORT = '@PORT@';
const PORT_MAPPINGS = [{ hostPort: PORT, containerPort: 80, protocol: 'tcp' }] as const;

/** @param plugin  path of bin/sluice-cni */
export function ourChain(
  plugin: string,
  runDir: string,
  tenant: string,
  { port }: ChainOptions,
): ChainPlugin[] {
  const runtimeConfig = { bandwidth: BANDWIDTH, ...(port && { portMappings: PORT_MAPPINGS }) };
  return [{ program: plugin, conf: { ...LIST, type: path.basename(plugin), runDir, tenant, runtimeConfig } }];
}

/** Where Debian's containernetworking-plugins puts them. */
export const REFERENCE_PLUGINS = '/usr/lib/cni';

/**
 * What a container engine without Sluice uses for the same: a bridge with NAT, addresses from a file,
 * published ports, rates, and a firewall.
 * @param dataDir  where host-local writes down which addresses are taken
 */
export function referenceChain(dataDir: string, { port }: ChainOptions): ChainPlugin[] {
  const ipam = {
    ...{ type: 'host-local', dataDir, ranges: [[{ subnet: '10.88.0.0/22' }]] },
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const bridge = { bridge: 'reference0', isGateway: true, ipMasq: true, hairpinMode: true, ipam };
  const confs: Readonly<Record<string, object>> = {
    bridge,
    portmap: { snat: true, ...(port && { runtimeConfig: { portMappings: PORT_MAPPINGS } }) },
    bandwidth: { runtimeConfig: { bandwidth: BANDWIDTH } },
    firewall: { backend: 'iptables' },
  };
  return Object.entries(confs).map(([type, conf]) => ({
    program: path.join(REFERENCE_PLUGINS, type),
    conf: { ...LIST, type, ...conf },
  }));
}
