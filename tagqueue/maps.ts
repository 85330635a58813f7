/** The layouts of the eBPF maps, as tagqueue/bpf/maps.h has them, to and from the model's terms. */
import {
  bytesToMac,
  type Cidr,
  cidrNetwork,
  cidrPrefix,
  type Ipv4,
  ipv4ToBytes,
  type Mac,
  macToBytes,
  numberToIpv4,
  POOL6_BYTES,
} from '../model/addresses.ts';
import type { Carrier } from '../model/carrier.ts';
import type { Side } from '../model/endpoint.ts';
import { type Mark, type MarkMask, shiftOf } from '../model/mark.ts';
import type { ContainerId, IfName, KeyEpoch, TenantTag } from '../model/names.ts';
import type { AccountId, AccountOwner } from '../model/usage.ts';

export const PROGRAM_NAMES = [
  'port_in',
  'port_out',
  'shaped_out',
  'shaped_in',
  'uplink_in',
  'uplink_out',
] as const;
export type ProgramName = (typeof PROGRAM_NAMES)[number];

export const MAP_NAMES = [
  'ports_by_index',
  'ports_by_ip',
  'shapers',
  'tenants',
  'marks',
  'settings',
  'routes',
  'keys',
  'ethertypes',
  'accounts',
  'account_names',
  'drops',
  'counts',
  'drop_log',
  'drop_counts',
  'drop_shares',
] as const;
export type MapName = (typeof MAP_NAMES)[number];

/** Sizes in bytes of each map's key and value; 0 where the kind of map has none. */
export const MAP_SIZES: Readonly<Record<MapName, { readonly key: number; readonly value: number }>> = {
  ports_by_index: { key: 4, value: 48 },
  ports_by_ip: { key: 4, value: 48 },
  shapers: { key: 4, value: 8 },
  tenants: { key: 4, value: 4 },
  marks: { key: 4, value: 4 },
  settings: { key: 4, value: 52 },
  routes: { key: 8, value: 8 },
  keys: { key: 4, value: 24 },
  ethertypes: { key: 2, value: 1 },
  accounts: { key: 8, value: 32 },
  account_names: { key: 8, value: 152 },
  drops: { key: 4, value: 8 },
  counts: { key: 4, value: 8 },
  drop_log: { key: 0, value: 0 },
  drop_counts: { key: 8, value: 8 },
  drop_shares: { key: 4, value: 8 },
};

/** Ids of a port's classes in the shaper of its side, without the tree's handle; 0: unlimited. */
export interface PortClasses {
  readonly outClass: number;
  readonly inClass: number;
}

export const UNLIMITED: PortClasses = { outClass: 0, inClass: 0 };

/** The interfaces of a side's shaper, by index. */
export interface Shaper {
  /** Through its egress goes what containers send. */
  readonly out: number;
  /** Through its egress goes what they receive. */
  readonly in: number;
}

/** What the container behind one host-side veth is allowed to be. */
export interface PortBinding extends PortClasses {
  readonly account: AccountId;
  readonly tag: TenantTag;
  /** The tenant's index on this node, as packets of his carry it. */
  readonly mark: Mark;
  readonly ifindex: number;
  readonly side: Side;
  readonly address: Ipv4;
  readonly mac: Mac;
  readonly gateway: Ipv4;
  /** The bridge's own address: the only one that may ask and answer ARP without a mark. */
  readonly gatewayMac: Mac;
  /** Whether the container has the IPv6 counterpart of its address too. */
  readonly dualStack: boolean;
}

/** What the programs go by. */
export interface PlaneConf {
  readonly internalPool: Cidr;
  readonly ownBlock: Cidr;
  /** The key to stamp with. */
  readonly epoch: KeyEpoch;
  readonly markMask: MarkMask;
  /** Interface index. */
  readonly uplink: number;
  readonly uplinkAddress: Ipv4;
  /** Whether the uplink is a network card: then what leaves it is cut to packets of the wire. */
  readonly card: boolean;
  readonly carrier: Carrier;
  /** UDP port of the carrier `vxlan`. */
  readonly vxlanPort: number;
  readonly fastPath: boolean;
  /** The first 96 bits of internal IPv6 addresses; undefined: there are none. */
  readonly pool6: Uint8Array | undefined;
}

/** Where a block of internal addresses is. */
export interface BlockRoute {
  /** Uplink address of the node that has it. */
  readonly node: Ipv4;
  readonly nextHop: Ipv4;
}

const SIDES = { external: 1, internal: 2 } as const satisfies Record<Side, number>;
const CARRIERS = { option: 1, vxlan: 2 } as const satisfies Record<Carrier, number>;
const PORT = {
  ...{ account: 0, tag: 8, mark: 12, ifindex: 16, address: 20, gateway: 24, mac: 28, gatewayMac: 34 },
  ...{ side: 40, flags: 41, outClass: 42, inClass: 44 },
} as const;
const PORT_FLAGS = { dualStack: 2 } as const;
const SETTINGS = {
  ...{ pool: 0, ownBlock: 8, epoch: 16, markMask: 20, markShift: 24, uplink: 28, uplinkAddress: 32 },
  ...{ vxlanPort: 36, carrier: 38, flags: 39, pool6: 40 },
} as const;
const SETTING_FLAGS = { fastPath: 1, dualStack: 2, card: 4 } as const;

/** A 32-bit key: interface index, epoch, reason, or 0 where there is only one entry. */
export function indexKey(index: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
}

export function indexOfKey(key: Buffer): number {
  return key.readUInt32LE(0);
}

/** An address as key of the map `ports_by_ip`. */
export function addressKey(address: Ipv4): Buffer {
  return Buffer.from(ipv4ToBytes(address));
}

export function encodePort(binding: PortBinding): Buffer {
  const value = Buffer.alloc(MAP_SIZES.ports_by_index.value);
  value.writeBigUInt64LE(binding.account, PORT.account);
  value.writeUInt32LE(binding.tag, PORT.tag);
  value.writeUInt32LE(binding.mark, PORT.mark);
  value.writeUInt32LE(binding.ifindex, PORT.ifindex);
  value.set(ipv4ToBytes(binding.address), PORT.address);
  value.set(ipv4ToBytes(binding.gateway), PORT.gateway);
  value.set(macToBytes(binding.mac), PORT.mac);
  value.set(macToBytes(binding.gatewayMac), PORT.gatewayMac);
  value.writeUInt8(SIDES[binding.side], PORT.side);
  value.writeUInt8(flagsOf(PORT_FLAGS, binding), PORT.flags);
  value.writeUInt16LE(binding.outClass, PORT.outClass);
  value.writeUInt16LE(binding.inClass, PORT.inClass);
  return value;
}

export function decodePort(value: Buffer): PortBinding {
  const flags = value.readUInt8(PORT.flags);
  return {
    account: value.readBigUInt64LE(PORT.account) as AccountId,
    tag: value.readUInt32LE(PORT.tag) as TenantTag,
    mark: value.readUInt32LE(PORT.mark) as Mark,
    ifindex: value.readUInt32LE(PORT.ifindex),
    side: value.readUInt8(PORT.side) === SIDES.external ? 'external' : 'internal',
    address: numberToIpv4(value.readUInt32BE(PORT.address)),
    mac: bytesToMac(value.subarray(PORT.mac)),
    gateway: numberToIpv4(value.readUInt32BE(PORT.gateway)),
    gatewayMac: bytesToMac(value.subarray(PORT.gatewayMac)),
    dualStack: (flags & PORT_FLAGS.dualStack) !== 0,
    outClass: value.readUInt16LE(PORT.outClass),
    inClass: value.readUInt16LE(PORT.inClass),
  };
}

/** A side as key of the map `shapers`. */
export function sideKey(side: Side): Buffer {
  return indexKey(SIDES[side]);
}

export function encodeShaper(shaper: Shaper): Buffer {
  return Buffer.concat([indexKey(shaper.out), indexKey(shaper.in)]);
}

/** @returns undefined as long as the side has none. */
export function decodeShaper(value: Buffer): Shaper | undefined {
  const shaper = { out: value.readUInt32LE(0), in: value.readUInt32LE(4) };
  return shaper.out === 0 ? undefined : shaper;
}

function flagsOf<K extends string>(
  flags: Readonly<Record<K, number>>,
  set: Readonly<Record<NoInfer<K>, boolean>>,
): number {
  return (Object.keys(flags) as K[]).reduce((sum, name) => sum + (set[name] ? flags[name] : 0), 0);
}

export function encodeConf(conf: PlaneConf): Buffer {
  const value = Buffer.alloc(MAP_SIZES.settings.value);
  value.set(ipv4ToBytes(cidrNetwork(conf.internalPool)), SETTINGS.pool);
  value.set(netmask(conf.internalPool), SETTINGS.pool + 4);
  value.set(ipv4ToBytes(cidrNetwork(conf.ownBlock)), SETTINGS.ownBlock);
  value.set(netmask(conf.ownBlock), SETTINGS.ownBlock + 4);
  value.writeUInt32LE(conf.epoch, SETTINGS.epoch);
  value.writeUInt32LE(conf.markMask, SETTINGS.markMask);
  value.writeUInt32LE(shiftOf(conf.markMask), SETTINGS.markShift);
  value.writeUInt32LE(conf.uplink, SETTINGS.uplink);
  value.set(ipv4ToBytes(conf.uplinkAddress), SETTINGS.uplinkAddress);
  value.writeUInt16BE(conf.vxlanPort, SETTINGS.vxlanPort);
  value.writeUInt8(CARRIERS[conf.carrier], SETTINGS.carrier);
  const { fastPath, card, pool6 } = conf;
  value.writeUInt8(
    flagsOf(SETTING_FLAGS, { fastPath, card, dualStack: pool6 !== undefined }),
    SETTINGS.flags,
  );
  value.set(pool6 ?? [], SETTINGS.pool6);
  return value;
}

/** @returns undefined for the zeros of a map that was never written. */
export function decodeConf(value: Buffer): PlaneConf | undefined {
  if (value.readUInt32BE(SETTINGS.pool + 4) === 0) return undefined;
  const flags = value.readUInt8(SETTINGS.flags);
  const dualStack = (flags & SETTING_FLAGS.dualStack) !== 0;
  return {
    internalPool: decodeBlock(value),
    ownBlock: decodeBlock(value.subarray(SETTINGS.ownBlock)),
    epoch: value.readUInt32LE(SETTINGS.epoch) as KeyEpoch,
    markMask: value.readUInt32LE(SETTINGS.markMask) as MarkMask,
    uplink: value.readUInt32LE(SETTINGS.uplink),
    uplinkAddress: numberToIpv4(value.readUInt32BE(SETTINGS.uplinkAddress)),
    carrier: value.readUInt8(SETTINGS.carrier) === CARRIERS.vxlan ? 'vxlan' : 'option',
    vxlanPort: value.readUInt16BE(SETTINGS.vxlanPort),
    fastPath: (flags & SETTING_FLAGS.fastPath) !== 0,
    card: (flags & SETTING_FLAGS.card) !== 0,
    pool6: dualStack
      ? Uint8Array.from(value.subarray(SETTINGS.pool6, SETTINGS.pool6 + POOL6_BYTES))
      : undefined,
  };
}

/** A block as key of the map `routes`. */
export function blockKey(block: Cidr): Buffer {
  const key = Buffer.alloc(MAP_SIZES.routes.key);
  key.writeUInt32LE(cidrPrefix(block));
  key.set(ipv4ToBytes(cidrNetwork(block)), 4);
  return key;
}

export function blockOfKey(key: Buffer): Cidr {
  return `${numberToIpv4(key.readUInt32BE(4))}/${key.readUInt32LE(0)}` as Cidr;
}

export function encodeRoute({ node, nextHop }: BlockRoute): Buffer {
  return Buffer.concat([ipv4ToBytes(node), ipv4ToBytes(nextHop)]);
}

export function decodeRoute(value: Buffer): BlockRoute {
  return { node: numberToIpv4(value.readUInt32BE(0)), nextHop: numberToIpv4(value.readUInt32BE(4)) };
}

function decodeBlock(value: Buffer): Cidr {
  return `${numberToIpv4(value.readUInt32BE(0))}/${Math.clz32(~value.readUInt32BE(4))}` as Cidr;
}

function netmask(block: Cidr): Uint8Array {
  return ipv4ToBytes(numberToIpv4(2 ** 32 - 2 ** (32 - cidrPrefix(block))));
}

/** @param secret  16 bytes, or undefined for an epoch whose tags are not believed (any more) */
export function encodeKey(secret: Uint8Array | undefined): Buffer {
  const value = Buffer.alloc(MAP_SIZES.keys.value);
  if (secret === undefined) return value;
  if (secret.length !== 16) throw new RangeError(`a key has 16 bytes, not ${secret.length}`);
  value.set(secret);
  value.writeUInt32LE(1, 16);
  return value;
}

/** @returns the 16 bytes, or undefined for an epoch without a key. */
export function decodeKey(value: Buffer): Buffer | undefined {
  return value.readUInt32LE(16) === 1 ? value.subarray(0, 16) : undefined;
}

/** An account's id as key of the maps `accounts` and `account_names`. */
export function accountKey(account: AccountId): Buffer {
  const key = Buffer.alloc(MAP_SIZES.accounts.key);
  key.writeBigUInt64LE(account);
  return key;
}

export function accountOfKey(key: Buffer): AccountId {
  return key.readBigUInt64LE() as AccountId;
}

/** Struct account_name. */
const ACCOUNT_NAME = { tag: 0, side: 4, container: 8, ifName: 136 } as const;

export function encodeAccountName({ tag, side, container, ifName }: AccountOwner): Buffer {
  const value = Buffer.alloc(MAP_SIZES.account_names.value);
  value.writeUInt32LE(tag, ACCOUNT_NAME.tag);
  value.writeUInt8(SIDES[side], ACCOUNT_NAME.side);
  value.write(container, ACCOUNT_NAME.container, 'ascii');
  value.write(ifName, ACCOUNT_NAME.ifName, 'ascii');
  return value;
}

export function decodeAccountName(value: Buffer): AccountOwner {
  return {
    tag: value.readUInt32LE(ACCOUNT_NAME.tag) as TenantTag,
    side: value.readUInt8(ACCOUNT_NAME.side) === SIDES.external ? 'external' : 'internal',
    container: textAt(value, ACCOUNT_NAME.container, ACCOUNT_NAME.ifName) as ContainerId,
    ifName: textAt(value, ACCOUNT_NAME.ifName, value.length) as IfName,
  };
}

function textAt(value: Buffer, from: number, to: number): string {
  return value.toString('ascii', from, to).replace(/\0.*$/s, '');
}

/** An EtherType as key of the map `ethertypes`; the value has no meaning. */
export function ethertypeKey(ethertype: number): Buffer {
  const key = Buffer.alloc(2);
  key.writeUInt16LE(ethertype);
  return key;
}

export function ethertypeOfKey(key: Buffer): number {
  return key.readUInt16LE(0);
}

export const ETHERTYPE_ALLOWED = Buffer.from([1]);

/** Indices of the map `counts`. */
export const COUNTS = { tagged: 0, verified: 1 } as const;

/** The key of the map `drop_counts`, taken apart. */
export function decodeTenantReason(key: Buffer): { readonly tag: number; readonly reason: number } {
  return { tag: key.readUInt32LE(0), reason: key.readUInt32LE(4) };
}
