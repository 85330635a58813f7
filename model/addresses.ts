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

/** Where internal IPv6 addresses come from: 96 bits of a unique local prefix (RFC 4193); the rest is the IPv4 address. */
export const Pool6 = z
  .string()
  .refine(
    (text) => isPool6(text),
    'must be a /96 of unique local IPv6 addresses such as fd5c:0:0:1::/96, in its shortest spelling',
  )
  .brand<'Pool6'>();
export type Pool6 = z.infer<typeof Pool6>;

/** In its shortest spelling (RFC 5952). */
export const Ipv6 = z
  .string()
  .refine(
    (text) => ipaddr.IPv6.isValid(text) && ipaddr.IPv6.parse(text).toRFC5952String() === text,
    'must be an IPv6 address such as fd5c::a40:7',
  )
  .brand<'Ipv6'>();
export type Ipv6 = z.infer<typeof Ipv6>;

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

function isPool6(text: string): boolean {
  if (!text.endsWith('/96') || !ipaddr.IPv6.isValidCIDR(text)) return false;
  const [address] = ipaddr.IPv6.parseCIDR(text);
  const bytes = address.toByteArray();
  return (
    (bytes[0] ?? 0) >> 1 === 0xfc >> 1 &&
    bytes.slice(POOL6_BYTES).every((byte) => byte === 0) &&
    `${address.toRFC5952String()}/96` === text
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
  return new ipaddr.IPv6([...bytes]).toRFC5952String();
}

export const POOL6_BYTES = 12;

/** The bytes that all addresses of the pool begin with. */
export function pool6ToBytes(pool: Pool6): Uint8Array {
  return Uint8Array.from(ipaddr.IPv6.parseCIDR(pool)[0].toByteArray().slice(0, POOL6_BYTES));
}

/** The internal IPv6 address that belongs to an internal IPv4 address. */
export function ipv6In(pool: Pool6, address: Ipv4): Ipv6 {
  const bytes = [...pool6ToBytes(pool), ...ipv4ToBytes(address)];
  return new ipaddr.IPv6(bytes).toRFC5952String() as Ipv6;
}

export function ipv6ToBytes(address: Ipv6): Uint8Array {
  return Uint8Array.from(ipaddr.IPv6.parse(address).toByteArray());
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
