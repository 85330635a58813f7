/** Reads what the checks look at. */
import { listAddresses, listRoutes } from '../../linux/addressing.ts';
import { clockIsSynchronized } from '../../linux/clock.ts';
import { accessOf, isThere, roomAt } from '../../linux/directories.ts';
import { readTextIfThere } from '../../linux/files.ts';
import { listLinks } from '../../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { type Nftables, openNftables } from '../../linux/nft.ts';
import { run } from '../../linux/process.ts';
import { readSysctl } from '../../linux/sysctl.ts';
import type { Config } from '../../model/config.ts';
import type { IfName } from '../../model/names.ts';
import { tableName } from '../../netd/names.ts';
import { nodeSettings } from '../../netd/node-plan.ts';
import type { NodeOptions } from '../node-options.ts';
import { DAEMONS, type Places, socketOf } from '../places.ts';
import { planeObject } from '../plane-object.ts';
import { nodeStatus } from '../supervisor/status.ts';
import { versionOf } from '../version.ts';
import type { Firewall, MachineFacts, ThoroughFacts } from './facts.ts';
import { tryFeatures } from './features.ts';

export interface Subject extends Pick<NodeOptions, 'node' | 'uplink'> {
  readonly places: Places;
  readonly config: Config;
}

export async function observeMachine({ node, uplink, places, config }: Subject): Promise<MachineFacts> {
  const route = openNetlink(NETLINK_ROUTE);
  const nft = openNftables();
  try {
    const object = config.tagqueue.object ?? planeObject();
    return {
      root: process.getuid?.() === 0,
      node,
      uplinkName: uplink,
      network: config.network,
      links: await listLinks(route),
      addresses: await listAddresses(route),
      routes: await listRoutes(route),
      settings: new Map(settingNames(uplink).map((name) => [name, readSysctl(name)])),
      object: { path: object, there: isThere(object) },
      sockets: DAEMONS.map((daemon) => socketOf(places, daemon)).map((path) => ({
        path,
        access: accessOf(path),
      })),
      directories: [places.runDir, places.stateDir].map((path) => ({
        path,
        access: accessOf(path),
        room: roomAt(path),
      })),
      firewalls: [...nftFirewalls(nft, tableName(node)), ...(await legacyFirewalls())],
    };
  } finally {
    nft.close();
    route.close();
  }
}

export async function observeThoroughly(subject: Subject): Promise<ThoroughFacts> {
  const facts = await observeMachine(subject);
  return {
    ...facts,
    version: versionOf(),
    status: await nodeStatus(subject.places),
    features: await tryFeatures(facts.object.path),
    offloads: subject.uplink === undefined ? undefined : await offloadsOf(subject.uplink),
    clockSynchronized: clockIsSynchronized(),
  };
}

function settingNames(uplink: IfName | undefined): string[] {
  return [
    ...nodeSettings().map(({ name }) => name),
    'net/bridge/bridge-nf-call-iptables',
    'net/ipv4/conf/all/rp_filter',
    ...(uplink === undefined ? [] : [`net/ipv4/conf/${uplink}/rp_filter`]),
  ];
}

interface ListedChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

/** Chains of nftables, those of iptables-nft among them. */
function nftFirewalls(nft: Nftables, ours: string): Firewall[] {
  const chains = (nft.list('chains') ?? []).map((object) => object['chain'] as ListedChain | undefined);
  return chains
    .filter((chain) => chain !== undefined)
    .filter(
      ({ hook, family, table }) => hook === 'forward' && ['ip', 'inet'].includes(family) && table !== ours,
    )
    .map(({ family, table, name, policy }) => ({
      name: `the nftables chain ${family} ${table} ${name}`,
      policy: policy === 'drop' ? 'drop' : 'accept',
    }));
}

/** The older iptables keeps its rules where nftables cannot see them. Asked only when it is in use: asking loads it. */
async function legacyFirewalls(): Promise<Firewall[]> {
  const tables = readTextIfThere('/proc/net/ip_tables_names') ?? '';
  if (!tables.split('\n').includes('filter')) return [];
  const { stdout } = await run(['iptables-legacy', '-S', 'FORWARD']).catch(() => ({ stdout: '' }));
  return [
    {
      name: 'the iptables-legacy chain FORWARD',
      policy: stdout.startsWith('-P FORWARD DROP') ? 'drop' : 'accept',
    },
  ];
}

async function offloadsOf(uplink: IfName): Promise<ReadonlyMap<string, boolean> | undefined> {
  const { code, stdout } = await run(['ethtool', '-k', uplink]).catch(() => ({ code: 1, stdout: '' }));
  if (code !== 0) return undefined;
  return new Map(
    [...stdout.matchAll(/^\s*([\w-]+): (on|off)/gm)].map(([, name = '', state]) => [name, state === 'on']),
  );
}
