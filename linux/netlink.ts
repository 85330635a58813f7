/**
 * Netlink requests, dumps and attributes over npm `netlink`. The one place that knows about
 * interrupted calls and interrupted dumps, so that nobody else has to.
 */

import { getSystemErrorName } from 'node:util';
import { createNetlink, type NetlinkMessage, type NetlinkSocket } from 'netlink';
import { SluiceError } from '../model/errors.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** Header flags (linux/netlink.h). */
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
const NLM_F_DUMP = 0x300;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_ACK_TLVS = 0x200;
const NLMSG_ERROR = 2;
const NLMSGERR_ATTR_MSG = 1;

/** A table that changes faster than it can be read this often is not going to settle. */
const DUMP_TRIES = 16;
/** The kernel's default receive buffer loses acknowledgements when hundreds of requests are under way at once. */
const SOCKET_BUFFER_BYTES = 1 << 20;

/** The kernel's refusal of a netlink request; `errno` is symbolic, such as 'EEXIST'. */
export class NetlinkError extends SluiceError {
  readonly errno: string;
  constructor(what: string, errno: string, explanation: string) {
    super(
      'kernel_refused',
      `the kernel refused to ${what}: ${errno}${explanation && ` (${explanation})`}`,
      'see the kernel log, and `sluice doctor`',
    );
    this.errno = errno;
  }
}

/** One socket to one netlink family in one network namespace: that of the thread at the time of opening. */
export interface Netlink {
  /** Sends one request and waits for its acknowledgement. @returns the answer's payload, if it has one. */
  request(what: string, type: number, payload: Buffer, flags?: number): Promise<Buffer | undefined>;
  /** Reads a whole table. @returns the payload of every entry. */
  dump(what: string, type: number, payload: Buffer): Promise<Buffer[]>;
  close(): void;
}

/** Opens in the current network namespace; use `inNetns` around it for another one. */
export function openNetlink(family: number): Netlink {
  const requests = open(family);
  // A dump comes in parts between which other answers may arrive, and the library does not
  // tell them apart: dumps have a socket of their own and wait for each other.
  const dumps = open(family);
  let lastDump: Promise<unknown> = Promise.resolve();

  return {
    async request(what, type, payload, flags = 0): Promise<Buffer | undefined> {
      const [answer] = await exchange(requests, what, type, payload, flags);
      return answer?.data;
    },
    dump(what, type, payload): Promise<Buffer[]> {
      const next = lastDump.then(() => dumpWhole(dumps, what, type, payload));
      lastDump = next.catch(() => undefined);
      return next;
    },
    close(): void {
      requests.close();
      dumps.close();
    },
  };
}

function open(family: number): NetlinkSocket {
  return createNetlink(family, { recvBufferSize: SOCKET_BUFFER_BYTES, sendBufferSize: SOCKET_BUFFER_BYTES });
}

async function dumpWhole(
  socket: NetlinkSocket,
  what: string,
  type: number,
  payload: Buffer,
): Promise<Buffer[]> {
  for (let tries = 0; tries < DUMP_TRIES; tries++) {
    const parts = await exchange(socket, what, type, payload, NLM_F_DUMP);
    if (parts.every((part) => (part.flags & NLM_F_DUMP_INTR) === 0)) return parts.map((part) => part.data);
  }
  throw new NetlinkError(what, 'EINTR', 'the table kept changing while it was read');
}

async function exchange(
  socket: NetlinkSocket,
  what: string,
  type: number,
  payload: Buffer,
  flags: number,
): Promise<NetlinkMessage[]> {
  for (;;) {
    try {
      const [messages] = await socket.request(type, payload, { flags, checkError: false });
      refuse(what, messages[0]);
      return messages.filter((message) => message.type !== NLMSG_ERROR);
    } catch (error) {
      if (isInterrupted(error)) continue;
      throw error;
    }
  }
}

function isInterrupted(error: unknown): boolean {
  const code = error instanceof NetlinkError ? error.errno : (error as NodeJS.ErrnoException).code;
  return code === 'EINTR';
}

function refuse(what: string, message: NetlinkMessage | undefined): void {
  if (message?.type !== NLMSG_ERROR) return;
  const errno = message.data.readInt32LE(0);
  if (errno !== 0) throw new NetlinkError(what, getSystemErrorName(errno), explanationOf(message));
}

/** The kernel's own words, where it has some (extended acknowledgement). */
function explanationOf(message: NetlinkMessage): string {
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return '';
  const capped = (message.flags & 0x100) !== 0;
  const echoed = capped ? 16 : message.data.readUInt32LE(4);
  const text = parseAttributes(message.data.subarray(4 + align(echoed))).get(NLMSGERR_ATTR_MSG);
  return text === undefined ? '' : cString(text);
}

const align = (length: number): number => (length + 3) & ~3;

/** One attribute: length, type, value, padded to four bytes. */
export function attribute(type: number, value: Uint8Array): Buffer {
  const out = Buffer.alloc(align(4 + value.length));
  out.writeUInt16LE(4 + value.length, 0);
  out.writeUInt16LE(type, 2);
  out.set(value, 4);
  return out;
}

/** An attribute that holds attributes; NLA_F_NESTED is set, as newer kernels insist. */
export function nested(type: number, ...children: readonly Uint8Array[]): Buffer {
  return attribute(type | 0x8000, Buffer.concat(children));
}

export function u8(value: number): Buffer {
  return Buffer.from([value]);
}

export function u16be(value: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value);
  return out;
}

export function u32be(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
}

/** Host byte order; every machine Sluice runs on is little-endian. */
export function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value >>> 0);
  return out;
}

export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

export function cString(value: Uint8Array): string {
  const end = value.indexOf(0);
  return Buffer.from(value.subarray(0, end === -1 ? value.length : end)).toString();
}

/** Attributes by type; the last one wins where a type repeats. */
export function parseAttributes(data: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= data.length; ) {
    const length = data.readUInt16LE(at);
    if (length < 4 || at + length > data.length) break;
    found.set(data.readUInt16LE(at + 2) & 0x3fff, data.subarray(at + 4, at + length));
    at += align(length);
  }
  return found;
}
