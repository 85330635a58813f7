/**
 * ICMP errors of routers between the nodes (RFC 792, RFC 1191), which quote the packet as it was on the wire: what
 * tagqueue/bpf/quote.h does for the carrier `option`, byte by byte. Whether the quoted tag is right, codec.ts asks.
 */
import { TAG_BYTES } from '../options.ts';
import {
  changedChecksum,
  DESTINATION,
  FRAGMENT,
  headerBytesOf,
  lessWords,
  PLAIN_BYTES,
  PROTOCOL,
  resizeHeader,
  SOURCE,
  sumOfWords,
  TOTAL_LENGTH,
} from './header.ts';

const ICMP = 1;
const MORE_OR_OFFSET = 0x3fff;
/** Offsets in an ICMP error; `quotedWords`: RFC 4884, 0 unless extensions follow the quote. */
const ERROR = { code: 1, checksum: 2, pointer: 4, quotedWords: 5, mtu: 6, bytes: 8 } as const;
const UNREACHABLE = { type: 3, tooLong: 4 } as const;
const TIME_EXCEEDED = 11;
const PARAMETER_PROBLEM = 12;
const LEAST_MTU = 68; // RFC 791
const TAGGED_BYTES = PLAIN_BYTES + TAG_BYTES;

/** Where the quoted packet stands in an error. */
export const QUOTE = PLAIN_BYTES + ERROR.bytes;
/** An error that holds a whole tag is so long at least. */
const LEAST_BYTES = QUOTE + TAGGED_BYTES;

/** An ICMP message in one piece, behind a header without options. */
export function isWholeIcmp(bytes: DataView, at: number): boolean {
  return (
    bytes.getUint8(at + PROTOCOL) === ICMP &&
    headerBytesOf(bytes, at) === PLAIN_BYTES &&
    (bytes.getUint16(at + FRAGMENT) & MORE_OR_OFFSET) === 0
  );
}

/** Whether an ICMP message is a router's error, and quotes a header with room for a tag, of whom the error is for. */
export function quotesReceiver(bytes: DataView, at: number, length: number): boolean {
  if (length < LEAST_BYTES || bytes.getUint16(at + TOTAL_LENGTH) < LEAST_BYTES) return false;
  const quoted = at + QUOTE;
  return (
    isErrorOfRouter(bytes.getUint8(at + PLAIN_BYTES)) &&
    bytes.getUint8(quoted) >> 4 === 4 &&
    headerBytesOf(bytes, quoted) >= TAGGED_BYTES &&
    bytes.getUint32(quoted + SOURCE) === bytes.getUint32(at + DESTINATION)
  );
}

function isErrorOfRouter(type: number): boolean {
  return type === UNREACHABLE.type || type === TIME_EXCEEDED || type === PARAMETER_PROBLEM;
}

/**
 * Cuts the tag out of the quote: everything before it moves up by as much, and speaks of a packet without tag. The
 * message's checksum changes by the difference, so that one which was damaged before stays so.
 */
export function cutQuotedTag(bytes: DataView, at: number): void {
  const error = at + PLAIN_BYTES;
  const quoted = at + QUOTE;
  const tag = quoted + PLAIN_BYTES;
  const checksum = bytes.getUint16(error + ERROR.checksum);
  bytes.setUint16(error + ERROR.checksum, 0);
  const before = lessWords(bytes, error, ERROR.bytes + TAGGED_BYTES);
  forgetTag(bytes, error);
  const quotedTotal = (bytes.getUint16(quoted + TOTAL_LENGTH) - TAG_BYTES) & 0xffff;
  const quotedHeader = headerBytesOf(bytes, quoted) - TAG_BYTES;
  resizeHeader(bytes, quoted, quotedHeader, quotedTotal, lessWords(bytes, tag, TAG_BYTES));
  const after = sumOfWords(bytes, error, ERROR.bytes + PLAIN_BYTES);
  bytes.setUint16(error + ERROR.checksum, changedChecksum(checksum, before + after));
  resizeHeader(bytes, at, PLAIN_BYTES, bytes.getUint16(at + TOTAL_LENGTH) - TAG_BYTES, 0);
  for (let offset = tag - at - 4; offset >= 0; offset -= 4)
    bytes.setUint32(at + TAG_BYTES + offset, bytes.getUint32(at + offset));
}

/** What the error itself says of lengths and places. For the container the tag does not exist. */
function forgetTag(bytes: DataView, error: number): void {
  const type = bytes.getUint8(error);
  const mtu = bytes.getUint16(error + ERROR.mtu);
  const tooLong = type === UNREACHABLE.type && bytes.getUint8(error + ERROR.code) === UNREACHABLE.tooLong;
  if (tooLong && mtu >= LEAST_MTU + TAG_BYTES) bytes.setUint16(error + ERROR.mtu, mtu - TAG_BYTES);
  const words = bytes.getUint8(error + ERROR.quotedWords);
  if (words > TAG_BYTES / 4) bytes.setUint8(error + ERROR.quotedWords, words - TAG_BYTES / 4);
  const pointer = bytes.getUint8(error + ERROR.pointer);
  if (type === PARAMETER_PROBLEM && pointer >= TAGGED_BYTES)
    bytes.setUint8(error + ERROR.pointer, pointer - TAG_BYTES);
}
