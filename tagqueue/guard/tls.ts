/** Recognises TLS by its first records (RFC 8446 section 5.1): takes the handshake out of them, however it was cut. */
import { type Glimpse, NO, readClientHello } from './client-hello.ts';

const HANDSHAKE = 22;
const RECORD_HEADER_BYTES = 5;
const LARGEST_RECORD = 16_384;
const MAJOR_VERSION = 3;

/** @param bytes  a stream from its first byte on, as far as it has come */
export function readTls(bytes: Buffer): Glimpse {
  const parts: Buffer[] = [];
  let handshakeBytes = 0;
  let at = 0;
  for (;;) {
    const record = bytes.subarray(at);
    if (!couldBeRecord(record)) return NO;
    if (record.length < RECORD_HEADER_BYTES) return { state: 'more', bytes: at + RECORD_HEADER_BYTES };
    const length = record.readUInt16BE(3);
    // Empty handshake records are forbidden, and would let a flow go on for ever without saying anything.
    if (length === 0 || length > LARGEST_RECORD) return NO;
    const part = record.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + length);
    parts.push(part);
    handshakeBytes += part.length;
    const hello = readClientHello(parts.length === 1 ? part : Buffer.concat(parts));
    if (hello.state !== 'more') return hello;
    at += RECORD_HEADER_BYTES + length;
    if (part.length < length) {
      const missing = Math.min(hello.bytes - handshakeBytes, length - part.length);
      return { state: 'more', bytes: bytes.length + Math.max(1, missing) };
    }
  }
}

function couldBeRecord(record: Buffer): boolean {
  if (record.length > 0 && record[0] !== HANDSHAKE) return false;
  return record.length < 2 || record[1] === MAJOR_VERSION;
}
