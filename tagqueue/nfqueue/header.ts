/** IPv4 headers where they stand in a packet: where their fields are, and how they change size. */
import { TAG_BYTES } from '../options.ts';

/** Offsets in an IPv4 header (RFC 791); the tag stands behind the 20 bytes. */
export const TOTAL_LENGTH = 2;
export const FRAGMENT = 6;
export const PROTOCOL = 9;
export const CHECKSUM = 10;
export const SOURCE = 12;
export const DESTINATION = 16;
export const PLAIN_BYTES = 20;

export function headerBytesOf(bytes: DataView, at: number): number {
  return (bytes.getUint8(at) & 15) * 4;
}

/** What words of 16 bits add to an Internet checksum (RFC 1071). @param length  even */
export function sumOfWords(bytes: DataView, at: number, length: number): number {
  let sum = 0;
  for (let offset = 0; offset < length; offset += 2) sum += bytes.getUint16(at + offset);
  return sum;
}

/** What takes the same words out of a sum again: in one's complement, their complement. */
export function lessWords(bytes: DataView, at: number, length: number): number {
  return (length / 2) * 0xffff - sumOfWords(bytes, at, length);
}

/** @returns the checksum that was `checksum` before its sum changed by so much, above 0 (RFC 1624) */
export function changedChecksum(checksum: number, change: number): number {
  let sum = (~checksum & 0xffff) + change;
  for (let fold = 0; fold < 4; fold++) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function sumOfTag(bytes: DataView, tag: number): number {
  return sumOfWords(bytes, tag, TAG_BYTES);
}

/**
 * Changes header length and total length, and the checksum by the difference, so that a header which was damaged before
 * stays recognisably damaged.
 * @param change  what the options add to the header's sum
 */
export function resizeHeader(
  bytes: DataView,
  at: number,
  headerBytes: number,
  total: number,
  change: number,
): void {
  const first = bytes.getUint16(at);
  const changed = (first & 0xf0ff) | ((headerBytes / 4) << 8);
  const lengths = (~first & 0xffff) + (~bytes.getUint16(at + TOTAL_LENGTH) & 0xffff) + changed + total;
  bytes.setUint16(at, changed);
  bytes.setUint16(at + TOTAL_LENGTH, total);
  bytes.setUint16(at + CHECKSUM, changedChecksum(bytes.getUint16(at + CHECKSUM), change + lengths));
}
