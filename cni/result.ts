/** What ADD answers: an endpoint in the words of each version, appended to what came before us. */
import { type Cidr, cidrPrefix } from '../model/addresses.ts';
import type { Dns, Endpoint, Nic } from '../model/endpoint.ts';
import type { Interface, IpConfig, PreviousResult, Route } from './previous.ts';
import type { CniVersion } from './version.ts';

/** CNI 1.1, 'ADD Success'; fields that a version does not know are left out for it. */
export interface CniResult {
  readonly cniVersion: CniVersion;
  readonly interfaces: readonly Interface[];
  readonly ips: readonly IpConfig[];
  readonly routes: readonly Route[];
  readonly dns?: PreviousResult['dns'];
}

/** The part of an endpoint that a result tells. */
export type Made = Pick<Endpoint, 'nics' | 'netns' | 'dns'>;

/** Fields that came with 1.1.0 ('ADD Success' of both specifications, compared). */
const INTERFACE_FIELDS_1_1 = ['mtu', 'socketPath', 'pciID'];
const ROUTE_FIELDS_1_1 = ['mtu', 'advmss', 'priority', 'table', 'scope'];

/**
 * @param endpoint  as made; its interfaces come as: the container's, primary first, then their host ends
 * @param previous  result of the plugin before us in the chain; ours is appended to it
 */
export function addResult(
  endpoint: Made,
  cniVersion: CniVersion,
  previous: PreviousResult | null,
): CniResult {
  const before = previous ?? { interfaces: [], ips: [], routes: [] };
  const ours = endpoint.nics.flatMap((nic, index) => addressesOf(nic, before.interfaces.length + index));
  const interfaces = [...before.interfaces, ...interfacesOf(endpoint)];
  const routes = [...before.routes, ...endpoint.nics.flatMap(routesOf)];
  const dns = filled(endpoint.dns) ?? filled(previous?.dns);
  return {
    cniVersion,
    interfaces:
      cniVersion === '1.1.0' ? interfaces : interfaces.map((one) => without(one, INTERFACE_FIELDS_1_1)),
    ips: [...before.ips, ...ours].map((ip) => spelled(ip, cniVersion)),
    routes: cniVersion === '1.1.0' ? routes : routes.map((one) => without(one, ROUTE_FIELDS_1_1)),
    ...(dns === undefined ? {} : { dns }),
  };
}

/**
 * What of ours is missing in the final result of the ADD chain, which CHECK gets as `prevResult`: a plugin
 * after us may have added, but what we made must still be listed (CNI 1.1, 'CHECK').
 *
 * @returns one phrase per missing thing; empty when all is there
 */
export function missingFromResult(endpoint: Made, final: PreviousResult): string[] {
  return endpoint.nics.flatMap((nic) => {
    const index = final.interfaces.findIndex(
      (one) =>
        one.name === nic.ifName &&
        (one.sandbox ?? '') !== '' &&
        (one.mac ?? nic.mac).toLowerCase() === nic.mac,
    );
    if (index < 0) return [`interface ${nic.ifName} with MAC ${nic.mac}`];
    const unlisted = addressesOf(nic, index).filter(
      ({ address }) => !final.ips.some((ip) => ip.address === address && (ip.interface ?? index) === index),
    );
    return unlisted.map(({ address }) => `address ${address} of ${nic.ifName}`);
  });
}

function interfacesOf({ nics, netns }: Made): Interface[] {
  return [
    ...nics.map((nic) => ({ name: nic.ifName, mac: nic.mac, mtu: nic.mtu, sandbox: netns })),
    ...nics.map((nic) => ({ name: nic.hostIf, mtu: nic.mtu })),
  ];
}

function addressesOf({ address, block, gateway, ipv6 }: Nic, index: number): IpConfig[] {
  return [
    { address: `${address}/${cidrPrefix(block)}`, gateway, interface: index },
    ...(ipv6 === undefined
      ? []
      : [{ address: `${ipv6.address}/128`, gateway: ipv6.gateway, interface: index }]),
  ];
}

function routesOf(nic: Nic): Route[] {
  const destination = (to: Cidr | 'default'): string => (to === 'default' ? '0.0.0.0/0' : to);
  return [
    ...nic.routes.map((to) => ({ dst: destination(to), gw: nic.gateway })),
    ...(nic.ipv6 === undefined ? [] : [{ dst: nic.ipv6.pool, gw: nic.ipv6.gateway }]),
  ];
}

/** 0.4.0 says of each address which protocol it is of; later versions leave that to the address. */
function spelled(ip: IpConfig, cniVersion: CniVersion): IpConfig {
  if (cniVersion !== '0.4.0') return without(ip, ['version']);
  return { version: ip.address.includes(':') ? '6' : '4', ...without(ip, ['version']) };
}

function without<T extends object>(record: T, fields: readonly string[]): T {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !fields.includes(key))) as T;
}

function filled(dns: Dns | PreviousResult['dns']): NonNullable<PreviousResult['dns']> | undefined {
  return dns && Object.values(dns).some((value) => value !== undefined && String(value) !== '')
    ? dns
    : undefined;
}
