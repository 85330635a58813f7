/** A client in a network namespace that says exactly what it is told to, in exactly these segments and datagrams. */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AF_INET,
  bind,
  connect,
  MSG_DONTWAIT,
  receive,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SystemCallError,
  sendto,
  setsockopt,
  socket,
} from '../../linux/libc.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { type Ipv4, ipv4ToBytes } from '../../model/addresses.ts';

const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const POLL_MS = 2;
const GONE = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ENOTCONN']);

/** How a client's words were taken. */
export type Heard = { readonly said: string } | 'reset' | 'silence';

export interface RawClient extends Disposable {
  /** @returns false when the other side is gone */
  send(bytes: Uint8Array): boolean;
  /** Waits for anything from the other side. */
  hear(timeoutMs: number): Promise<Heard>;
}

function sockaddr(address: Ipv4, port: number): Buffer {
  const out = Buffer.alloc(16);
  out.writeUInt16LE(AF_INET, 0);
  out.writeUInt16BE(port, 2);
  out.set(ipv4ToBytes(address), 4);
  return out;
}

/** @returns 'reset' when the connection is refused at once, 'silence' when nobody answers in time */
export async function connectRaw(
  netnsPath: string,
  address: Ipv4,
  port: number,
  timeoutMs: number,
): Promise<RawClient | 'reset' | 'silence'> {
  const fd = open(netnsPath, SOCK_STREAM);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, Buffer.from([1, 0, 0, 0]));
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      if (connect(fd, sockaddr(address, port))) return over(fd);
    } catch (error) {
      closeSync(fd);
      if (isGone(error)) return 'reset';
      throw error;
    }
    if (performance.now() > deadline) {
      closeSync(fd);
      return 'silence';
    }
    await sleep(POLL_MS);
  }
}

/** A UDP socket that speaks to one address. */
export function datagrams(netnsPath: string, address: Ipv4, port: number): RawClient {
  const fd = open(netnsPath, SOCK_DGRAM);
  connect(fd, sockaddr(address, port));
  return over(fd);
}

/** A UDP socket of the current network namespace, on one of its addresses. @returns its file descriptor */
export function boundUdp(address: Ipv4, port: number): number {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  bind(fd, sockaddr(address, port));
  return fd;
}

function open(netnsPath: string, type: number): number {
  using netns = openNetns(netnsPath);
  return inNetns(netns, () => socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

function over(fd: number): RawClient {
  const into = Buffer.alloc(65_536);
  return {
    send(bytes): boolean {
      try {
        sendto(fd, bytes, 0x4000, null); // MSG_NOSIGNAL
        return true;
      } catch (error) {
        if (isGone(error)) return false;
        throw error;
      }
    },
    async hear(timeoutMs): Promise<Heard> {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        try {
          const length = receive(fd, into, MSG_DONTWAIT);
          if (length !== undefined) return { said: into.toString('latin1', 0, length) };
        } catch (error) {
          if (isGone(error)) return 'reset';
          throw error;
        }
        if (performance.now() > deadline) return 'silence';
        await sleep(POLL_MS);
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function isGone(error: unknown): boolean {
  return error instanceof SystemCallError && GONE.has(error.errno);
}
