/** Recognises SSH by the line with which a client introduces itself (RFC 4253 section 4.2). */
import { type Glimpse, NO } from './client-hello.ts';

const BEGINNINGS = ['SSH-2.0-', 'SSH-1.'];
const LONGEST_LINE = 255;
const LF = 10;

/** @param bytes  a stream from its first byte on, as far as it has come */
export function readSsh(bytes: Buffer): Glimpse {
  const text = bytes.subarray(0, LONGEST_LINE).toString('latin1');
  if (!BEGINNINGS.some((beginning) => text.startsWith(beginning) || beginning.startsWith(text))) return NO;
  const end = bytes.indexOf(LF);
  if (end >= LONGEST_LINE || (end < 0 && bytes.length >= LONGEST_LINE)) return NO;
  return end < 0 ? { state: 'more', bytes: bytes.length + 1 } : { state: 'found', domain: null };
}
