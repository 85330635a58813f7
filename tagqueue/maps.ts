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
} from '../model/addresses.ts';
import type { Side } from '../model/endpoint.ts';
import type { KeyEpoch, TenantTag } from '../model/names.ts';

export const PROGRAM_NAMES = ['port_in', 'port_out', 'uplink_in', 'uplink_out'] as const;
export type ProgramName = (typeof PROGRAM_NAMES)[number];

export const MAP_NAMES = ['ports', 'conf', 'keys', 'ethertypes', 'drops', 'counts', 'drop_log'] as const;
export type MapName = (typeof MAP_NAMES)[number];

/** Sizes in bytes of each map's key and value; 0 where the kind of map has none. */
export const MAP_SIZES: Readonly<Record<MapName, { readonly key: number; readonly value: number }>> = {
  ports: { key: 4, value: 28 },
  conf: { key: 4, value: 20 },
  keys: { key: 4, value: 24 },
  ethertypes: { key: 2, value: 1 },
  drops: { key: 4, value: 8 },
  counts: { key: 4, value: 8 },
  drop_log: { key: 0, value: 0 },
};

/** What the container behind one host-side veth is allowed to be. */
export interface PortBinding {
  readonly tag: TenantTag;
  readonly side: Side;
  readonly address: Ipv4;
  readonly mac: Mac;
  readonly gateway: Ipv4;
  /** The bridge's own address: the only one that may ask and answer ARP without a mark. */
  readonly gatewayMac: Mac;
}

/** What the uplink programs go by. */
export interface PlaneConf {
  readonly internalPool: Cidr;
  readonly ownBlock: Cidr;
  /** The key to stamp with. */
  readonly epoch: KeyEpoch;
}

const SIDES = { external: 1, internal: 2 } as const satisfies Record<Side, number>;
const PORT = { tag: 0, address: 4, gateway: 8, mac: 12, gatewayMac: 18, side: 24 } as const;

/** A 32-bit key: interface index, epoch, reason, or 0 where there is only one entry. */
export function indexKey(index: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
}

export function indexOfKey(key: Buffer): number {
  return key.readUInt32LE(0);
}

export function encodePort(binding: PortBinding): Buffer {
  const value = Buffer.alloc(MAP_SIZES.ports.value);
  value.writeUInt32LE(binding.tag, PORT.tag);
  value.set(ipv4ToBytes(binding.address), PORT.address);
  value.set(ipv4ToBytes(binding.gateway), PORT.gateway);
  value.set(macToBytes(binding.mac), PORT.mac);
  value.set(macToBytes(binding.gatewayMac), PORT.gatewayMac);
  value.writeUInt8(SIDES[binding.side], PORT.side);
  return value;
}

export function decodePort(value: Buffer): PortBinding {
  return {
    tag: value.readUInt32LE(PORT.tag) as TenantTag,
    side: value.readUInt8(PORT.side) === SIDES.external ? 'external' : 'internal',
    address: numberToIpv4(value.readUInt32BE(PORT.address)),
    mac: bytesToMac(value.subarray(PORT.mac)),
    gateway: numberToIpv4(value.readUInt32BE(PORT.gateway)),
    gatewayMac: bytesToMac(value.subarray(PORT.gatewayMac)),
  };
}

export function encodeConf(conf: PlaneConf): Buffer {
  const value = Buffer.alloc(MAP_SIZES.conf.value);
  value.set(ipv4ToBytes(cidrNetwork(conf.internalPool)), 0);
  value.set(netmask(conf.internalPool), 4);
  value.set(ipv4ToBytes(cidrNetwork(conf.ownBlock)), 8);
  value.set(netmask(conf.ownBlock), 12);
  value.writeUInt32LE(conf.epoch, 16);
  return value;
}

/** @returns undefined for the zeros of a map that was never written. */
export function decodeConf(value: Buffer): PlaneConf | undefined {
  if (value.readUInt32BE(4) === 0) return undefined;
  return {
    internalPool: decodeBlock(value),
    ownBlock: decodeBlock(value.subarray(8)),
    epoch: value.readUInt32LE(16) as KeyEpoch,
  };
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
