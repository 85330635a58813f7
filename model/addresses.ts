/** IPv4 addresses, blocks and MAC addresses: branded strings in their one canonical spelling, and arithmetic on them. */
import ipaddr from 'ipaddr.js';
import * as z from 'zod';

export const Ipv4 = z
  .string()
  .refine(
    (text) => ipaddr.IPv4.isValidFourPartDecimal(text) && canonical(text) === text,
    'must be an IPv4 address such as 10.64.0.7',
  )
  .brand<'Ipv4'>();
export type Ipv4 = z.infer<typeof Ipv4>;

/** A block of addresses; the address part is the first of the block. */
export const Cidr = z
  .string()
  .refine((text) => isBlock(text), 'must be an IPv4 block such as 10.64.0.0/22, with no host bits set')
  .brand<'Cidr'>();
export type Cidr = z.infer<typeof Cidr>;

/** Six bytes in lower-case hex, as the kernel prints them. */
export const Mac = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(
    (text) => /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/.test(text),
    'must be a MAC address such as 02:00:0a:40:00:07',
  )
  .refine((text) => (Number.parseInt(text.slice(0, 2), 16) & 1) === 0, 'must not be a multicast address')
  .refine((text) => text !== '00:00:00:00:00:00', 'must not be all zero')
  .brand<'Mac'>();
export type Mac = z.infer<typeof Mac>;

function canonical(text: string): string {
  return ipaddr.IPv4.parse(text).toString();
}

function isBlock(text: string): boolean {
  if (!ipaddr.IPv4.isValidCIDR(text)) return false;
  const [address, length] = ipaddr.IPv4.parseCIDR(text);
  return (
    `${ipaddr.IPv4.networkAddressFromCIDR(text).toString()}/${length}` === text &&
    address.toString() === text.split('/')[0]
  );
}

/** @returns the address as an unsigned 32-bit number, 10.0.0.1 being 0x0a000001. */
export function ipv4ToNumber(address: Ipv4): number {
  return ipaddr.IPv4.parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0);
}

/** @param value  0 to 2^32-1 */
export function numberToIpv4(value: number): Ipv4 {
  const bytes = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  return new ipaddr.IPv4(bytes).toString() as Ipv4;
}

/** The four bytes in network order, as every kernel interface wants them. */
export function ipv4ToBytes(address: Ipv4): Uint8Array {
  return Uint8Array.from(ipaddr.IPv4.parse(address).toByteArray());
}

/** For people to read (RFC 5952). @param bytes  16 of them */
export function bytesToIpv6(bytes: Uint8Array): string {
  return new ipaddr.IPv6([...bytes]).toString();
}

export function macToBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}

export function bytesToMac(bytes: Uint8Array): Mac {
  return Array.from(bytes.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}

export function cidrPrefix(block: Cidr): number {
  return Number(block.slice(block.indexOf('/') + 1));
}

export function cidrNetwork(block: Cidr): Ipv4 {
  return block.slice(0, block.indexOf('/')) as Ipv4;
}

/** How many addresses the block spans, network and broadcast address included. */
export function cidrSize(block: Cidr): number {
  return 2 ** (32 - cidrPrefix(block));
}

export function cidrContains(block: Cidr, address: Ipv4): boolean {
  return ipaddr.IPv4.parse(address).match(ipaddr.IPv4.parseCIDR(block));
}

export function cidrOverlaps(a: Cidr, b: Cidr): boolean {
  return cidrContains(a, cidrNetwork(b)) || cidrContains(b, cidrNetwork(a));
}

/** The last address of a block: its directed broadcast address. */
export function cidrBroadcast(block: Cidr): Ipv4 {
  return numberToIpv4(ipv4ToNumber(cidrNetwork(block)) + cidrSize(block) - 1);
}

/** The host's own address on a bridge: the first usable one of the block. */
export function cidrGateway(block: Cidr): Ipv4 {
  return numberToIpv4(ipv4ToNumber(cidrNetwork(block)) + 1);
}

/**
 * The n-th sub-block of a pool.
 * @throws RangeError when the pool has no such sub-block.
 */
export function cidrNth(pool: Cidr, prefix: number, n: number): Cidr {
  if (prefix < cidrPrefix(pool) || n >= 2 ** (prefix - cidrPrefix(pool)))
    throw new RangeError(`${pool} has no /${prefix} number ${n}`);
  return `${numberToIpv4(ipv4ToNumber(cidrNetwork(pool)) + n * 2 ** (32 - prefix))}/${prefix}` as Cidr;
}

/**
 * A MAC address that follows from the IPv4 address: no table is needed to know it, and an
 * address that comes back brings the same MAC with it, so no neighbour entry goes stale.
 * 0x02 is the 'locally administered' bit, 0x5c stands for Sluice.
 */
export function macOfAddress(address: Ipv4): Mac {
  return bytesToMac(Uint8Array.from([0x02, 0x5c, ...ipv4ToBytes(address)]));
}
