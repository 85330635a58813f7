/** Small clients and servers inside any network namespace: echo, TCP and UDP, as a container's own programs would use them. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ipv4, ipv4ToBytes } from '../model/addresses.ts';
import { echoRequest } from './frames.ts';
import {
  AF_INET,
  bind,
  connect,
  IPPROTO_ICMP,
  MSG_DONTWAIT,
  receive,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_STREAM,
  SystemCallError,
  sendto,
  setsockopt,
  socket,
} from './libc.ts';
import { inNetns, type Netns } from './netns.ts';

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
/** asm-generic/socket.h */
const SO_MARK = 36;
const ANY = '0.0.0.0' as Ipv4;
const POLL_MS = 1;
const LARGEST_ANSWER = 65_536;

export interface Destination {
  readonly address: Ipv4;
  readonly port: number;
}

/** struct sockaddr_in (ip(7)). */
function sockaddr({ address, port }: Destination): Buffer {
  const out = Buffer.alloc(16);
  out.writeUInt16LE(AF_INET, 0);
  out.writeUInt16BE(port, 2);
  out.set(ipv4ToBytes(address), 4);
  return out;
}

function openIn(netns: Netns, type: number, protocol = 0): number {
  return inNetns(netns, () => socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

/** Asks again and again without blocking, until there is an answer or the time is over. */
async function poll<T>(timeoutMs: number, ask: () => T | undefined): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = ask();
    if (answer !== undefined || performance.now() >= deadline) return answer;
    await sleep(POLL_MS);
  }
}

/** What a packet of the host's own says of itself. */
export interface Guise {
  /** A whole packet mark. */
  readonly mark: number;
  readonly source: Ipv4;
}

function putOn(fd: number, { mark, source }: Guise, port: number): void {
  const value = Buffer.alloc(4);
  value.writeUInt32LE(mark);
  setsockopt(fd, SOL_SOCKET, SO_MARK, value);
  bind(fd, sockaddr({ address: source, port }));
}

/**
 * One ICMP echo, through the namespace's own network stack.
 *
 * @param payload  must be unlike that of any other echo under way: the answer is known by it
 * @returns the round trip in ms, or undefined when no answer came in time
 */
export async function ping(
  netns: Netns,
  to: Ipv4,
  payload: Buffer,
  timeoutMs: number,
  guise?: Guise,
): Promise<number | undefined> {
  const fd = openIn(netns, SOCK_RAW, IPPROTO_ICMP);
  const into = Buffer.alloc(LARGEST_ANSWER);
  const isAnswer = (length: number): boolean => {
    const icmp = into.subarray((into.readUInt8(0) & 15) * 4, length);
    return icmp[0] === 0 && icmp.subarray(8).equals(payload);
  };
  try {
    if (guise !== undefined) putOn(fd, guise, 0);
    const begun = performance.now();
    if (!trySend(fd, echoRequest(process.pid & 0xffff, 1, payload), { address: to, port: 0 }))
      return undefined;
    return await poll(timeoutMs, () => {
      for (;;) {
        const length = receive(fd, into, MSG_DONTWAIT);
        if (length === undefined) return undefined;
        if (isAnswer(length)) return performance.now() - begun;
      }
    });
  } finally {
    closeSync(fd);
  }
}

/** @returns false when the namespace has no way there, which is an answer too. */
function trySend(fd: number, data: Buffer, to: Destination): boolean {
  try {
    sendto(fd, data, 0, sockaddr(to));
    return true;
  } catch (error) {
    if (error instanceof SystemCallError && NO_WAY.has(error.errno)) return false;
    throw error;
  }
}

const NO_WAY: ReadonlySet<string> = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EPERM', 'EINVAL', 'EACCES']);

export type TcpOutcome =
  | { readonly state: 'answered'; readonly text: string; readonly ms: number }
  /** Somebody is there: the connection was made and nothing came, or it was refused. */
  | { readonly state: 'open' | 'refused'; readonly ms: number }
  | { readonly state: 'silent' };

/** Connects from inside the namespace, says something, and reads until the other side closes or is silent. */
export async function askTcp(
  netns: Netns,
  to: Destination,
  question: string,
  timeoutMs: number,
): Promise<TcpOutcome> {
  const fd = openIn(netns, SOCK_STREAM);
  try {
    const begun = performance.now();
    const connected = await poll(timeoutMs, () => tryConnect(fd, to));
    const ms = performance.now() - begun;
    if (connected === undefined || connected === 'unreachable') return { state: 'silent' };
    if (connected === 'refused') return { state: 'refused', ms };
    if (question !== '') sendto(fd, Buffer.from(question), 0, null);
    const text = await readAll(fd, timeoutMs);
    return text === '' ? { state: 'open', ms } : { state: 'answered', text, ms };
  } finally {
    closeSync(fd);
  }
}

function tryConnect(fd: number, to: Destination): 'connected' | 'refused' | 'unreachable' | undefined {
  try {
    return connect(fd, sockaddr(to)) ? 'connected' : undefined;
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    if (error.errno === 'ECONNREFUSED' || error.errno === 'ECONNRESET') return 'refused';
    return 'unreachable';
  }
}

async function readAll(fd: number, timeoutMs: number): Promise<string> {
  const into = Buffer.alloc(LARGEST_ANSWER);
  const chunks: Buffer[] = [];
  await poll(timeoutMs, () => {
    for (;;) {
      const length = receiveOrEnd(fd, into);
      if (length === undefined) return undefined;
      if (length === 0) return true;
      chunks.push(Buffer.from(into.subarray(0, length)));
    }
  });
  return Buffer.concat(chunks).toString();
}

/** A connection that was reset has ended. */
function receiveOrEnd(fd: number, into: Buffer): number | undefined {
  try {
    return receive(fd, into, MSG_DONTWAIT);
  } catch (error) {
    if (error instanceof SystemCallError) return 0;
    throw error;
  }
}

/** Sends one datagram from inside the namespace. @returns false when it has no way there. */
export function sendUdp(netns: Netns, to: Destination, payload: Buffer): boolean {
  const fd = openIn(netns, SOCK_DGRAM);
  try {
    return trySend(fd, payload, to);
  } finally {
    closeSync(fd);
  }
}

export interface Listener extends AsyncDisposable {
  readonly port: number;
}

function bindIn(netns: Netns, type: number, port: number): number {
  const fd = openIn(netns, type);
  try {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Buffer.from([1, 0, 0, 0]));
    bind(fd, sockaddr({ address: ANY, port }));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * A TCP server inside the namespace, on all of its addresses. It answers the first bytes of each connection and
 * closes it.
 *
 * @param port    0 for any free one
 * @param answer  what to say to a client at this address
 */
export async function listenTcp(
  netns: Netns,
  port: number,
  answer: (client: string) => string,
): Promise<Listener> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.once('close', () => open.delete(client));
    client.on('error', () => undefined); // clients come and go as they like
    client.once('data', () => client.end(answer(client.remoteAddress ?? '')));
  });
  const listening = once(server, 'listening');
  server.listen({ fd: bindIn(netns, SOCK_STREAM, port) });
  await listening;
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : port,
    [Symbol.asyncDispose]: async () => {
      for (const client of open) client.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

export interface UdpListener extends Listener {
  /** Whether a datagram that holds these bytes has come. */
  received(bytes: Buffer): boolean;
}

/** A UDP socket inside the namespace, on all of its addresses; it remembers what came. @param port  0 for any */
export async function listenUdp(netns: Netns, port: number): Promise<UdpListener> {
  const udp = createSocket('udp4');
  const seen: Buffer[] = [];
  udp.on('message', (data) => void seen.push(data));
  const listening = once(udp, 'listening');
  udp.bind({ fd: bindIn(netns, SOCK_DGRAM, port) });
  await listening;
  return {
    port: udp.address().port,
    received: (bytes) => seen.some((data) => data.includes(bytes)),
    [Symbol.asyncDispose]: async () => {
      const closed = once(udp, 'close');
      udp.close();
      await closed;
    },
  };
}

/** A UDP socket of the host's own, in a guise. */
export interface Channel {
  /** Nothing tells whether it arrives; that there is no way there is no error. */
  send(data: Uint8Array, to: Destination): void;
  close(): void;
}

/**
 * @param onMessage  with when it came, in ns on the monotonic clock
 * @throws SystemCallError EADDRNOTAVAIL while the host does not have the address
 */
export async function openChannel(
  netns: Netns,
  guise: Guise,
  port: number,
  onMessage: (data: Buffer, from: Destination, atNs: bigint) => void,
): Promise<Channel> {
  const fd = openIn(netns, SOCK_DGRAM);
  try {
    putOn(fd, guise, port);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  const udp = createSocket('udp4');
  udp.on('message', (data, from) =>
    onMessage(data, { address: from.address as Ipv4, port: from.port }, process.hrtime.bigint()),
  );
  udp.on('error', () => undefined); // an ICMP error about an earlier packet: its silence says as much
  const listening = once(udp, 'listening');
  udp.bind({ fd });
  await listening;
  return {
    send: (data, to) => udp.send(data, to.port, to.address, () => undefined),
    close: () => void udp.close(),
  };
}
