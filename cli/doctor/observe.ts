/** Reads what the checks look at. */
import { listAddresses, listRoutes } from '../../linux/addressing.ts';
import { localClient } from '../../linux/api-client.ts';
import { tryBpf } from '../../linux/bpf-abilities.ts';
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
import { lackOfEbpf } from '../../tagqueue/ebpf-lack.ts';
import type { NodeOptions } from '../node-options.ts';
import { DAEMONS, type Places, socketOf } from '../places.ts';
import { planeObject } from '../plane-object.ts';
import { missingPrograms } from '../storage-choice.ts';
import { nodeStatus } from '../supervisor/status.ts';
import { translatorPieces } from '../translator-pieces.ts';
import { versionOf } from '../version.ts';
import type { Firewall, MachineFacts, ThoroughFacts } from './facts.ts';
import { tryFeatures } from './features.ts';
import { hasIptablesTargets, iptablesWriters, type MarkWriter, nftWriters } from './mark-writes.ts';

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
      plane: config.tagqueue.plane,
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
    lack: await lackHere(),
    offloads: subject.uplink === undefined ? undefined : await offloadsOf(subject.uplink),
    clockSynchronized: clockIsSynchronized(),
    storage: storageFacts(subject.config),
    markWriters: await markWriters(),
    ...(await askTagqueue(subject.places)),
  };
}

/** Where it cannot be asked, the trial of the programs says why. */
async function lackHere(): Promise<string | undefined> {
  return await tryBpf().then(lackOfEbpf, () => undefined);
}

function storageFacts({ storage }: Config): ThoroughFacts['storage'] {
  const { object } = translatorPieces();
  const kinds = readTextIfThere('/proc/filesystems') ?? '';
  const has = (kind: string): boolean => new RegExp(`\\t${kind}$`, 'm').test(kinds);
  return {
    volumes: storage.volumes,
    missing: missingPrograms(),
    translator: { path: object, there: isThere(object) },
    lacks: [
      ...(isThere('/dev/loop-control') ? [] : ['loop devices']),
      ...(has('xfs') ? [] : ['XFS']),
      ...(isThere('/dev/fuse') && has('fuse') ? [] : ['FUSE']),
    ],
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

/** iptables of both kinds shows what nftables cannot: numbers of its own targets, and the older kind's rules. */
async function markWriters(): Promise<MarkWriter[]> {
  const nft = openNftables();
  try {
    const listed = nft.list('ruleset') ?? [];
    const text = async (...argv: readonly [string, ...string[]]): Promise<string> =>
      (await run(argv).catch(() => ({ stdout: '' }))).stdout;
    const ofNft = hasIptablesTargets(listed) ? await text('iptables-nft-save') : '';
    // Only tables that are in use: asking for another would make it.
    const tables = (readTextIfThere('/proc/net/ip_tables_names') ?? '')
      .split('\n')
      .filter((name) => name !== '');
    const ofLegacy = await Promise.all(tables.map((table) => text('iptables-legacy-save', '-t', table)));
    return [
      ...nftWriters(listed),
      ...iptablesWriters(ofNft, 'iptables-nft'),
      ...iptablesWriters(ofLegacy.join('\n'), 'iptables-legacy'),
    ];
  } finally {
    nft.close();
  }
}

/** With eight peers, two carriers and nobody who answers it takes 15 s. */
const TRIAL_MS = 60_000;

async function askTagqueue(
  places: Places,
): Promise<Pick<ThoroughFacts, 'fastPath' | 'dropsIpv6' | 'carriers'>> {
  const client = localClient(socketOf(places, 'tagqueue'), { timeoutMs: TRIAL_MS });
  try {
    const status = (await client.request('GET', '/v1/status')) as Pick<
      ThoroughFacts,
      'fastPath' | 'dropsIpv6'
    >;
    const carriers = await client.request('POST', '/v1/probes/carriers').catch(() => undefined);
    return {
      ...{ fastPath: status.fastPath, dropsIpv6: status.dropsIpv6 },
      carriers: carriers as ThoroughFacts['carriers'],
    };
  } catch {
    return { fastPath: undefined, dropsIpv6: undefined, carriers: undefined }; // it is away: the daemons' own check says so
  } finally {
    client.close();
  }
}

async function offloadsOf(uplink: IfName): Promise<ReadonlyMap<string, boolean> | undefined> {
  const { code, stdout } = await run(['ethtool', '-k', uplink]).catch(() => ({ code: 1, stdout: '' }));
  if (code !== 0) return undefined;
  return new Map(
    [...stdout.matchAll(/^\s*([\w-]+): (on|off)/gm)].map(([, name = '', state]) => [name, state === 'on']),
  );
}
