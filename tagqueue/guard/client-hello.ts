/** Reads the server's name out of a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3). Believes no length. */

/** What bytes that arrive bit by bit have shown so far. */
export type Glimpse =
  /** Nothing can be said before there are so many bytes from the beginning. */
  | { readonly state: 'more'; readonly bytes: number }
  /** They are something else. */
  | { readonly state: 'no' }
  /** The name asked for, in small letters; null: none, or none that can be relied on. */
  | { readonly state: 'found'; readonly domain: string | null };

export const NO: Glimpse = { state: 'no' };

const CLIENT_HELLO = 1;
const HEADER_BYTES = 4;
const RANDOM_BYTES = 32;
const LONGEST_SESSION_ID = 32;
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** Larger ones exist in nobody's wild: with post-quantum key shares they have about 1,800 bytes. */
export const LARGEST_HELLO = 16_000;

/**
 * @param bytes  a handshake message from its first byte on, as far as it has come. Of a ClientHello with
 *   Encrypted ClientHello the outer name is read: it is the only one that anybody but the server can see.
 */
export function readClientHello(bytes: Buffer): Glimpse {
  if (bytes.length > 0 && bytes[0] !== CLIENT_HELLO) return NO;
  if (bytes.length < HEADER_BYTES) return { state: 'more', bytes: HEADER_BYTES };
  const length = HEADER_BYTES + bytes.readUIntBE(1, 3);
  if (length > LARGEST_HELLO) return NO;
  if (bytes.length < length) return { state: 'more', bytes: length };
  return readBody(bytes.subarray(HEADER_BYTES, length));
}

function readBody(body: Buffer): Glimpse {
  const reader = new Reader(body);
  reader.skip(2 + RANDOM_BYTES);
  const sessionId = reader.vector(1);
  const suites = reader.vector(2);
  const compression = reader.vector(1);
  if (sessionId === undefined || suites === undefined || compression === undefined) return NO;
  if (sessionId.length > LONGEST_SESSION_ID || suites.length < 2 || suites.length % 2 === 1) return NO;
  if (compression.length === 0) return NO;
  // Before TLS 1.3 a ClientHello could end here.
  if (reader.atEnd()) return { state: 'found', domain: null };
  const extensions = reader.vector(2);
  if (extensions === undefined || !reader.atEnd()) return NO;
  return readExtensions(extensions);
}

/** Unknown extensions, GREASE among them (RFC 8701), are passed over. */
function readExtensions(extensions: Buffer): Glimpse {
  const reader = new Reader(extensions);
  let name: Buffer | undefined;
  while (!reader.atEnd()) {
    const type = reader.number(2);
    const data = reader.vector(2);
    if (type === undefined || data === undefined) return NO;
    if (type !== SERVER_NAME) continue;
    // Twice the same extension is forbidden: servers may differ in which one they take.
    if (name !== undefined) return NO;
    name = data;
  }
  return name === undefined ? { state: 'found', domain: null } : readServerName(name);
}

function readServerName(data: Buffer): Glimpse {
  const list = new Reader(data).vector(2);
  if (list === undefined || list.length + 2 !== data.length) return NO;
  const reader = new Reader(list);
  const type = reader.number(1);
  const name = reader.vector(2);
  if (type !== HOST_NAME || name === undefined || !reader.atEnd()) return NO;
  return { state: 'found', domain: domainOf(name.toString('latin1')) };
}

const NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?)*$/;
const NUMBERS_ONLY = /^[\d.]+$/;

/** @returns the name as rules spell it; null for an address, and for what is no name at all. */
export function domainOf(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '');
  return NAME.test(name) && !NUMBERS_ONLY.test(name) ? name : null;
}

/** Reads numbers and counted byte strings, and says undefined where the bytes end too soon. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  skip(count: number): void {
    this.#at += count;
  }

  /** @param size  bytes of the number, 1 to 3 */
  number(size: number): number | undefined {
    if (this.#at + size > this.#bytes.length) return undefined;
    this.#at += size;
    return this.#bytes.readUIntBE(this.#at - size, size);
  }

  /** @param size  bytes of the length in front */
  vector(size: number): Buffer | undefined {
    const length = this.number(size);
    if (length === undefined || this.#at + length > this.#bytes.length) return undefined;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
