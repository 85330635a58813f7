/**
 * Reads the ClientHello out of QUIC's first packets (RFC 9000, RFC 9001 section 5, RFC 9369). They are encrypted with
 * keys that everybody can derive who sees the first of them.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { Assembly } from './assembly.ts';
import { type Glimpse, NO, readClientHello } from './client-hello.ts';

/** What differs between the versions that are understood. */
interface Version {
  readonly salt: Buffer;
  readonly labels: { readonly key: string; readonly iv: string; readonly hp: string };
  /** The two bits of the first byte that say 'Initial'. */
  readonly initial: number;
}

const VERSIONS: ReadonlyMap<number, Version> = new Map([
  [
    0x0000_0001,
    {
      salt: Buffer.from('38762cf7f55934b34d179ae6a4c80cadccbb7f0a', 'hex'),
      labels: { key: 'quic key', iv: 'quic iv', hp: 'quic hp' },
      initial: 0,
    },
  ],
  [
    0x6b33_43cf,
    {
      salt: Buffer.from('0dede3def700a6db819381be6e269dcbf9bd2ed9', 'hex'),
      labels: { key: 'quicv2 key', iv: 'quicv2 iv', hp: 'quicv2 hp' },
      initial: 1,
    },
  ],
]);

const LONG_HEADER = 0x80;
const FIXED_BIT = 0x40;
const LONGEST_CONNECTION_ID = 20;
const TAG_BYTES = 16;
const SAMPLE_BYTES = 16;
/** Packets coalesced in one datagram that are looked at. */
const MOST_PACKETS = 8;
/** Frames of one packet that are looked at, runs of padding counting as one. */
const MOST_FRAMES = 256;

interface Keys {
  readonly key: Buffer;
  readonly iv: Buffer;
  readonly hp: Buffer;
}

/** An Initial packet whose protection is still on. */
interface Sealed {
  readonly version: Version;
  readonly destinationId: Buffer;
  /** From the first byte of its header to its last. */
  readonly bytes: Buffer;
  /** Where the protected packet number begins. */
  readonly numberAt: number;
}

/** One connection's beginning, over as many datagrams as it takes. */
export class QuicBeginning {
  readonly #crypto = new Assembly();
  #keys: Keys | undefined;

  /** Memory held, in bytes. */
  get size(): number {
    return this.#crypto.size;
  }

  /** @returns `no` for a datagram that is no part of a beginning that can be read */
  add(datagram: Buffer): Glimpse {
    let seen = false;
    for (const sealed of initialsOf(datagram)) {
      const payload = this.#open(sealed);
      if (payload === undefined) continue;
      seen = true;
      if (!this.#takeFrames(payload)) return NO;
    }
    return seen ? this.#glimpse() : NO;
  }

  #glimpse(): Glimpse {
    return readClientHello(this.#crypto.beginning());
  }

  /** The keys hang on the first packet's connection id, or, after a Retry, on that of the packet itself. */
  #open(sealed: Sealed): Buffer | undefined {
    const known = this.#keys && unprotect(sealed, this.#keys);
    if (known !== undefined) return known;
    const keys = initialKeys(sealed.version, sealed.destinationId);
    const payload = unprotect(sealed, keys);
    if (payload !== undefined) this.#keys = keys;
    return payload;
  }

  #takeFrames(payload: Buffer): boolean {
    const frames = cryptoFrames(payload);
    if (frames === undefined) return false;
    return frames.every(({ at, data }) => {
      const added = this.#crypto.add(at, data);
      return added === 'more' || added === 'nothing';
    });
  }
}

/** Whether a datagram begins as a QUIC connection of a version that can be read does. */
export function looksLikeQuic(datagram: Buffer): boolean {
  return initialsOf(datagram).length > 0;
}

function initialsOf(datagram: Buffer): Sealed[] {
  const found: Sealed[] = [];
  let rest = datagram;
  for (let count = 0; count < MOST_PACKETS && rest.length > 0; count++) {
    const packet = readLongHeader(rest);
    if (packet === undefined) break;
    if (packet.sealed !== undefined) found.push(packet.sealed);
    rest = rest.subarray(packet.length);
  }
  return found;
}

/** @returns undefined for what has no long header of a known version */
function readLongHeader(
  bytes: Buffer,
): { readonly length: number; readonly sealed: Sealed | undefined } | undefined {
  const first = bytes[0] ?? 0;
  if ((first & (LONG_HEADER | FIXED_BIT)) !== (LONG_HEADER | FIXED_BIT) || bytes.length < 7) return undefined;
  const version = VERSIONS.get(bytes.readUInt32BE(1));
  if (version === undefined) return undefined;
  const destination = connectionId(bytes, 5);
  const source = destination && connectionId(bytes, destination.end);
  if (destination === undefined || source === undefined) return undefined;
  const isInitial = ((first >> 4) & 3) === version.initial;
  const token = isInitial ? varint(bytes, source.end) : { value: 0, end: source.end };
  const length = token && varint(bytes, token.end + token.value);
  if (length === undefined || length.end + length.value > bytes.length) return undefined;
  const end = length.end + length.value;
  const sealed = {
    version,
    destinationId: destination.id,
    bytes: bytes.subarray(0, end),
    numberAt: length.end,
  };
  return { length: end, sealed: isInitial ? sealed : undefined };
}

function connectionId(bytes: Buffer, at: number): { readonly id: Buffer; readonly end: number } | undefined {
  const length = bytes[at];
  if (length === undefined || length > LONGEST_CONNECTION_ID) return undefined;
  const end = at + 1 + length;
  return end > bytes.length ? undefined : { id: bytes.subarray(at + 1, end), end };
}

/** RFC 9000 section 16. */
function varint(bytes: Buffer, at: number): { readonly value: number; readonly end: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  const size = 1 << (first >> 6);
  if (at + size > bytes.length) return undefined;
  let value = first & 0x3f;
  // At most 62 bits: above 2^53 the number is inexact, and larger than anything it may be compared with.
  for (let i = 1; i < size; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return { value, end: at + size };
}

function initialKeys({ salt, labels }: Version, destinationId: Buffer): Keys {
  const initial = hmac(salt, destinationId);
  const client = expand(initial, 'client in', 32);
  return {
    key: expand(client, labels.key, 16),
    iv: expand(client, labels.iv, 12),
    hp: expand(client, labels.hp, 16),
  };
}

function hmac(key: Buffer, data: Buffer): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

/** HKDF-Expand-Label without context (RFC 8446 section 7.1), for at most one block of output. */
function expand(secret: Buffer, label: string, bytes: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([0, bytes, name.length]), name, Buffer.from([0, 1])]);
  return hmac(secret, info).subarray(0, bytes);
}

/** Takes header protection and encryption off. @returns undefined when the keys are not those of the packet */
function unprotect({ bytes, numberAt }: Sealed, { key, iv, hp }: Keys): Buffer | undefined {
  const sampleAt = numberAt + 4;
  if (sampleAt + SAMPLE_BYTES > bytes.length) return undefined;
  const cipher = createCipheriv('aes-128-ecb', hp, null).setAutoPadding(false);
  const mask = cipher.update(bytes.subarray(sampleAt, sampleAt + SAMPLE_BYTES));
  const first = (bytes[0] ?? 0) ^ ((mask[0] ?? 0) & 0x0f);
  const numberBytes = (first & 3) + 1;
  const header = Buffer.from(bytes.subarray(0, numberAt + numberBytes));
  header[0] = first;
  const nonce = Buffer.from(iv);
  for (let i = 0; i < numberBytes; i++) {
    const plain = (bytes[numberAt + i] ?? 0) ^ (mask[1 + i] ?? 0);
    header[numberAt + i] = plain;
    const place = nonce.length - numberBytes + i;
    nonce[place] = (nonce[place] ?? 0) ^ plain;
  }
  const sealed = bytes.subarray(header.length);
  if (sealed.length < TAG_BYTES) return undefined;
  return decrypt(key, nonce, header, sealed);
}

function decrypt(key: Buffer, nonce: Buffer, header: Buffer, sealed: Buffer): Buffer | undefined {
  const decipher = createDecipheriv('aes-128-gcm', key, nonce);
  decipher.setAAD(header);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  try {
    decipher.final();
    return plain;
  } catch {
    return undefined;
  }
}

interface CryptoFrame {
  readonly at: number;
  readonly data: Buffer;
}

const FRAME = { padding: 0, ping: 1, ack: 2, ackEcn: 3, crypto: 6, close: 0x1c } as const;

/** @returns undefined for frames that have no place in an Initial packet (RFC 9000 section 12.4) */
function cryptoFrames(payload: Buffer): CryptoFrame[] | undefined {
  const found: CryptoFrame[] = [];
  let at: number | undefined = 0;
  for (let count = 0; at < payload.length; count++) {
    if (count === MOST_FRAMES) return undefined;
    at = readFrame(payload, at, found);
    if (at === undefined) return undefined;
  }
  return found;
}

/** @returns where the next frame begins */
function readFrame(payload: Buffer, at: number, found: CryptoFrame[]): number | undefined {
  switch (payload[at]) {
    case FRAME.padding:
      return afterPadding(payload, at);
    case FRAME.ping:
      return at + 1;
    case FRAME.ack:
    case FRAME.ackEcn:
      return afterAck(payload, at + 1, payload[at] === FRAME.ackEcn);
    case FRAME.close:
      return payload.length;
    case FRAME.crypto: {
      const frame = readCrypto(payload, at + 1);
      if (frame !== undefined) found.push(frame);
      return frame?.end;
    }
    default:
      return undefined;
  }
}

function afterPadding(payload: Buffer, from: number): number {
  let at = from;
  while (payload[at] === FRAME.padding) at += 1;
  return at;
}

function readCrypto(payload: Buffer, from: number): (CryptoFrame & { readonly end: number }) | undefined {
  const at = varint(payload, from);
  const length = at && varint(payload, at.end);
  if (!at || !length || length.end + length.value > payload.length) return undefined;
  const end = length.end + length.value;
  return { at: at.value, data: payload.subarray(length.end, end), end };
}

/** Largest acknowledged, delay, count of ranges, first range; a gap and a length per range; three counters with ECN. */
function afterAck(payload: Buffer, from: number, ecn: boolean): number | undefined {
  let at = from;
  const next = (): number | undefined => {
    const read = varint(payload, at);
    if (read !== undefined) at = read.end;
    return read?.value;
  };
  next();
  next();
  const ranges = next();
  if (ranges === undefined || ranges > payload.length) return undefined;
  const numbers = 1 + 2 * ranges + (ecn ? 3 : 0);
  for (let i = 0; i < numbers; i++) if (next() === undefined) return undefined;
  return at;
}
