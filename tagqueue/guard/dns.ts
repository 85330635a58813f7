/** Recognises a DNS question and reads the name it asks for (RFC 1035 section 4). */
import { domainOf, type Glimpse, NO } from './client-hello.ts';

const HEADER_BYTES = 12;
const LONGEST_NAME = 255;
const LONGEST_LABEL = 63;
/** IN, CHAOS, HESIOD and ANY. */
const CLASSES: ReadonlySet<number> = new Set([1, 3, 4, 255]);
const LENGTH_BYTES = 2;
/** Behind the question there may be one OPT record with cookies and padding; more would carry something else. */
const LARGEST_QUESTION = 4_096;

/** @param message  one whole message, as a datagram carries it */
export function readDns(message: Buffer): Glimpse {
  if (message.length < HEADER_BYTES + 5 || message.length > LARGEST_QUESTION) return NO;
  const flags = message.readUInt16BE(2);
  // A standard query that is neither an answer nor truncated.
  if ((flags & 0xfa00) !== 0 || message.readUInt16BE(4) !== 1 || message.readUInt16BE(6) !== 0) return NO;
  return readName(message);
}

function readName(message: Buffer): Glimpse {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    // A pointer has its two highest bits set; the first name of a message has nothing to point at.
    if (length === undefined || length > LONGEST_LABEL) return NO;
    at += 1;
    if (length === 0) break;
    labels.push(message.toString('latin1', at, at + length));
    at += length;
    if (at - HEADER_BYTES > LONGEST_NAME) return NO;
  }
  if (message.length < at + 4 || !CLASSES.has(message.readUInt16BE(at + 2))) return NO;
  // A dot inside a label would make it look like two.
  const plain = labels.every((label) => !label.includes('.'));
  return { state: 'found', domain: plain ? domainOf(labels.join('.')) : null };
}

/** @param bytes  a stream from its first byte on: messages with their length in front (RFC 1035 section 4.2.2) */
export function readDnsStream(bytes: Buffer): Glimpse {
  if (bytes.length < LENGTH_BYTES) return { state: 'more', bytes: LENGTH_BYTES };
  const length = bytes.readUInt16BE(0);
  if (length > LARGEST_QUESTION) return NO;
  if (bytes.length < LENGTH_BYTES + length) return { state: 'more', bytes: LENGTH_BYTES + length };
  return readDns(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
}
