/**
 * NFQUEUE: packets that wait in the kernel for a verdict of ours. Reads block their thread, so this belongs into a worker.
 *
 * A verdict's attribute NFQA_CT would set the connection mark, but kernels without CONFIG_NETFILTER_NETLINK_GLUE_CT
 * ignore it in silence. Give the verdict a packet mark, and let a rule behind the queue save it (CONNMARK --save-mark).
 */
import { closeSync, readFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { SluiceError } from '../model/errors.ts';
import {
  bind,
  receive,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SystemCallError,
  sendto,
  setsockopt,
  socket,
} from './libc.ts';
import {
  bindRequest,
  emptyPacket,
  MANGLED_HEAD_BYTES,
  NF_ACCEPT,
  NF_DROP,
  NLMSG_ERROR,
  type QueuedPacket,
  type QueueSettings,
  type QueueVerdict,
  readPacket,
  VERDICT_BYTES,
  writeBatchVerdict,
  writeMangledVerdict,
  writeVerdict,
} from './nfqueue-message.ts';

const AF_NETLINK = 16;
const NETLINK_NETFILTER = 12;
const SOCKADDR_NL_BYTES = 12;
/** asm-generic/socket.h */
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const MSG_WAITFORONE = 0x10000;
const EINTR = 4;
const EAGAIN = 11;
const ENOBUFS = 105;
const EPERM = 1;

/** Packets read with one system call; also how many verdicts leave with one. */
const SLOTS = 32;
/** In front of every datagram: a header that grows by a tag and further options still has the verdict's head before it. */
const HEADROOM = 64;
/** Everything in a packet's message but the packet, which is longest with names and addresses of both devices. */
const ATTRIBUTES = 512;
const PAGE = 4096;
/** A verdict list is sent when it has grown so long: the kernel copies it into one buffer. */
const SEND_BYTES = 256 * 1024;
/** struct mmsghdr and struct iovec of 64-bit machines (bits/types/struct_msghdr.h). */
const MMSGHDR = { bytes: 64, iov: 16, iovCount: 24, received: 56 } as const;
const IOVEC_BYTES = 16;

const libc = koffi.load('libc.so.6');
const recvmmsg = libc.func(
  'int recvmmsg(int fd, uintptr_t messages, uint32_t count, int flags, uintptr_t timeout)',
);
const sendmsg = libc.func('intptr_t sendmsg(int fd, uintptr_t message, int flags)');

export interface NfqueueOptions extends QueueSettings {
  /** Of the socket; the kernel drops what does not fit. */
  readonly receiveBufferBytes: number;
  /** `receive` returns after this long without a packet, so that its caller can look whether to stop. */
  readonly idleMs: number;
}

/** What went wrong so far. */
export interface NfqueueFaults {
  /** How often the kernel told that the socket's buffer was full: packets were dropped. */
  overruns: number;
  /** Verdicts that the kernel refused, for packets that were gone already, say. */
  refusedVerdicts: number;
}

export interface Nfqueue extends Disposable {
  /** All packets stand in it. */
  readonly bytes: DataView;
  readonly faults: Readonly<NfqueueFaults>;
  /**
   * Waits for packets, calls `handle` for each, then sends the verdicts that `handle` gave.
   * @returns how many packets there were; 0 when none came within `idleMs`
   * @throws SluiceError `kernel_refused`
   */
  receive(handle: (packet: QueuedPacket) => void): number;
  /** A verdict for one packet, whenever it was received. With `mark`, that mark instead of the old one. */
  decide(id: number, verdict: QueueVerdict, mark?: number): void;
  /** Accepts all packets up to `id` that still wait. */
  acceptUpTo(id: number): void;
  /**
   * Accepts a packet in another form. The new form stands in `bytes`, and nobody else's packet in the MANGLED_HEAD_BYTES
   * before it: so only during the `handle` of this packet, and for changes in its place.
   */
  acceptMangled(id: number, at: number, length: number, mark: number): void;
  /** Sends verdicts given outside `handle`. */
  flush(): void;
}

/**
 * Binds a queue of the current network namespace. From here on packets wait for verdicts, and without one are never let
 * through: not when nobody reads, and not when the queue is full.
 *
 * @param queue  0 to 65535
 * @throws SluiceError `conflict` when another process has the queue, `kernel_refused` otherwise
 */
export function openNfqueue(queue: number, options: NfqueueOptions): Nfqueue {
  const fd = openSocket(options);
  try {
    const ring = createRing(options.copyBytes);
    const opened = queueOver(fd, queue, ring);
    request(fd, queue, bindRequest(queue, options), (packet) => opened.decide(packet.id, NF_DROP), ring);
    opened.flush();
    return opened;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openSocket({ receiveBufferBytes, idleMs }: NfqueueOptions): number {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  const address = Buffer.alloc(SOCKADDR_NL_BYTES);
  address.writeUInt16LE(AF_NETLINK);
  bind(fd, address);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(receiveBufferBytes));
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, int32(4 * SEND_BYTES));
  const timeout = Buffer.alloc(16);
  timeout.writeBigInt64LE(BigInt(Math.floor(idleMs / 1_000)), 0);
  timeout.writeBigInt64LE(BigInt((idleMs % 1_000) * 1_000), 8);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout);
  return fd;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

/** One memory for everything that system calls read and write, so that addresses are computed once. */
interface Ring {
  readonly memory: ArrayBuffer;
  readonly bytes: DataView;
  readonly address: number;
  /** Offsets in the memory. */
  readonly messages: number;
  readonly sendHeader: number;
  readonly sendIovecs: number;
  readonly verdicts: number;
  readonly slots: number;
  readonly slotBytes: number;
  readonly datagramBytes: number;
}

function createRing(copyBytes: number): Ring {
  const datagramBytes = copyBytes + ATTRIBUTES;
  const slotBytes = HEADROOM + Math.ceil((datagramBytes + 8) / 64) * 64;
  const messages = 0;
  const receiveIovecs = messages + SLOTS * MMSGHDR.bytes;
  const sendHeader = receiveIovecs + SLOTS * IOVEC_BYTES;
  const sendIovecs = sendHeader + MMSGHDR.bytes;
  const verdicts = sendIovecs + SLOTS * IOVEC_BYTES;
  const slots = Math.ceil((verdicts + SLOTS * VERDICT_BYTES) / PAGE) * PAGE;
  const memory = new ArrayBuffer(slots + SLOTS * slotBytes);
  const bytes = new DataView(memory);
  const address = Number(koffi.address(new Uint8Array(memory)));
  for (let slot = 0; slot < SLOTS; slot++) {
    const iovec = receiveIovecs + slot * IOVEC_BYTES;
    const message = messages + slot * MMSGHDR.bytes;
    writePointer(bytes, iovec, address + slots + slot * slotBytes + HEADROOM);
    writePointer(bytes, iovec + 8, datagramBytes);
    writePointer(bytes, message + MMSGHDR.iov, address + iovec);
    writePointer(bytes, message + MMSGHDR.iovCount, 1);
  }
  writePointer(bytes, sendHeader + MMSGHDR.iov, address + sendIovecs);
  return {
    ...{ memory, bytes, address, messages, sendHeader, sendIovecs, verdicts, slots, slotBytes },
    datagramBytes,
  };
}

/** 64 bits, low word first: addresses of user space have at most 47. */
function writePointer(bytes: DataView, at: number, value: number): void {
  bytes.setUint32(at, value >>> 0, true);
  bytes.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

function queueOver(fd: number, queue: number, ring: Ring): Nfqueue {
  const { bytes } = ring;
  const packet = emptyPacket();
  const faults: NfqueueFaults = { overruns: 0, refusedVerdicts: 0 };
  let pending = 0;
  let pendingBytes = 0;

  function flush(): void {
    if (pending === 0) return;
    writePointer(bytes, ring.sendHeader + MMSGHDR.iovCount, pending);
    pending = 0;
    pendingBytes = 0;
    while (sendmsg(fd, ring.address + ring.sendHeader, 0) < 0) mayTryAgain('send verdicts', queue);
  }
  /** A message that stands at `at`, to be sent with the others; padded, because another may follow it. */
  function append(at: number, length: number): void {
    const padded = (length + 3) & ~3;
    const iovec = ring.sendIovecs + pending * IOVEC_BYTES;
    writePointer(bytes, iovec, ring.address + at);
    bytes.setUint32(iovec + 8, padded, true);
    pending += 1;
    pendingBytes += padded;
    if (pending === SLOTS || pendingBytes >= SEND_BYTES) flush();
  }
  /** Never negative: nothing has come within the time, or packets were lost, which is worth a count. */
  function receiveMany(): number {
    const count = recvmmsg(fd, ring.address + ring.messages, SLOTS, MSG_WAITFORONE, 0);
    if (count >= 0) return count;
    const errno = koffi.errno();
    if (errno === ENOBUFS) faults.overruns += 1;
    else if (errno !== EAGAIN && errno !== EINTR) throw refused('read packets', queue, errno);
    return 0;
  }

  return {
    bytes,
    faults,
    receive(handle): number {
      const count = receiveMany();
      let packets = 0;
      for (let slot = 0; slot < count; slot++) {
        const length = bytes.getUint32(ring.messages + slot * MMSGHDR.bytes + MMSGHDR.received, true);
        if (readPacket(bytes, ring.slots + slot * ring.slotBytes + HEADROOM, length, packet)) {
          packets += 1;
          handle(packet);
        } else faults.refusedVerdicts += 1;
      }
      flush();
      return packets;
    },
    decide(id, verdict, mark): void {
      const at = ring.verdicts + pending * VERDICT_BYTES;
      append(at, writeVerdict(bytes, at, queue, id, verdict, mark));
    },
    acceptUpTo(id): void {
      const at = ring.verdicts + pending * VERDICT_BYTES;
      append(at, writeBatchVerdict(bytes, at, queue, id, NF_ACCEPT));
    },
    acceptMangled(id, at, length, mark): void {
      append(at - MANGLED_HEAD_BYTES, writeMangledVerdict(bytes, at, length, queue, id, mark));
    },
    flush,
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** @throws SluiceError unless the call was only interrupted */
function mayTryAgain(what: string, queue: number): void {
  const errno = koffi.errno();
  if (errno !== EINTR) throw refused(what, queue, errno);
}

/** Sends a request and waits for its acknowledgement; packets that come first go to `early`. */
function request(
  fd: number,
  queue: number,
  message: Buffer,
  early: (packet: QueuedPacket) => void,
  ring: Ring,
): void {
  sendto(fd, message, 0, null);
  const at = ring.slots + HEADROOM;
  const into = new Uint8Array(ring.memory, at, ring.datagramBytes);
  const packet = emptyPacket();
  for (;;) {
    const length = receiveAnswer(fd, into, queue);
    if (length >= 20 && ring.bytes.getUint16(at + 4, true) === NLMSG_ERROR) {
      const errno = -ring.bytes.getInt32(at + 16, true);
      if (errno !== 0) throw refused('bind it', queue, errno);
      return;
    }
    if (readPacket(ring.bytes, at, length, packet)) early(packet);
  }
}

function receiveAnswer(fd: number, into: Uint8Array, queue: number): number {
  try {
    const length = receive(fd, into, 0);
    if (length !== undefined) return length;
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === 'ENOBUFS') return 0;
    throw error;
  }
  throw refused('answer in time', queue, EAGAIN);
}

function refused(what: string, queue: number, errno: number): SluiceError {
  // Somebody else's queue is refused with EPERM (net/netfilter/nfnetlink_queue.c, nfqnl_recv_config).
  if (errno === EPERM) {
    return new SluiceError(
      'conflict',
      `packet queue ${queue} belongs to another process, or there is no privilege for it`,
      'see /proc/net/netfilter/nfnetlink_queue; sluice needs root with CAP_NET_ADMIN',
    );
  }
  return new SluiceError(
    'kernel_refused',
    `the kernel refused to ${what} at packet queue ${queue}: ${getSystemErrorName(-errno)}`,
    'does this kernel have CONFIG_NETFILTER_NETLINK_QUEUE? see `sluice doctor`',
  );
}

/** A queue in the kernel's words (net/netfilter/nfnetlink_queue.c, seq_show). */
export interface QueueCounters {
  readonly queue: number;
  /** Packets that wait now. */
  readonly waiting: number;
  /** Dropped because the queue was full. */
  readonly dropped: number;
  /** Dropped because the socket's buffer was full. */
  readonly userDropped: number;
  /** Packets queued so far, modulo 2^32. */
  readonly packets: number;
}

/** All queues of the calling thread's network namespace that somebody has bound. */
export function queueCounters(): QueueCounters[] {
  return readFileSync('/proc/thread-self/net/netfilter/nfnetlink_queue', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((fields) => fields.length >= 8)
    .map(([queue = 0, , waiting = 0, , , dropped = 0, userDropped = 0, packets = 0]) => ({
      ...{ queue, waiting, dropped, userDropped, packets },
    }));
}
