/** Raw Ethernet in a network namespace: sends any frame, and sees what passes an interface (packet(7)). */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../model/errors.ts';
import {
  AF_PACKET,
  bind,
  interfaceIndex,
  MSG_DONTWAIT,
  receiveFrom,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  sendto,
  setsockopt,
  socket,
} from './libc.ts';
import { inNetns, type Netns } from './netns.ts';

/** linux/if_ether.h, in network byte order as the socket calls want it. */
const ETH_P_ALL_BE = 0x0300;
/** linux/if_packet.h, asm/socket.h */
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;
const PACKET_OUTGOING = 4;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const BUFFER_BYTES = 4 * 2 ** 20;
const SOCKADDR_LL_BYTES = 20;
const PKTTYPE_AT = 10;
const LARGEST_FRAME = 65_550;
const POLL_MS = 1;

/** A frame as it passed the interface. */
export interface SeenFrame {
  readonly bytes: Buffer;
  /** True for what this namespace sent, false for what it received. */
  readonly outgoing: boolean;
}

export interface PacketSocket extends Disposable {
  readonly ifName: string;
  /** Sends one frame as it is. @throws SluiceError `kernel_refused` */
  send(frame: Uint8Array): void;
  /** Everything that passed since the last call. */
  take(): SeenFrame[];
  /**
   * Waits for one frame that fits, throwing away those that do not.
   * @returns undefined when none came in time
   */
  next(fits: (frame: SeenFrame) => boolean, timeoutMs: number): Promise<SeenFrame | undefined>;
}

export interface PacketOptions {
  /** Frames go straight to the driver: past queueing, and past programs at the interface's egress. */
  readonly bypassQdisc?: boolean;
  /** It sees nothing: the kernel copies no frame for it. */
  readonly sendOnly?: boolean;
}

/** @throws SluiceError `not_found` when the namespace has no such interface, `kernel_refused` without CAP_NET_RAW. */
export function openPacketSocket(netns: Netns, ifName: string, options: PacketOptions = {}): PacketSocket {
  const fd = inNetns(netns, () => openBound(netns, ifName, options.sendOnly === true));
  try {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(BUFFER_BYTES));
    if (options.bypassQdisc === true) setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, int32(1));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return socketOver(fd, ifName);
}

function openBound(netns: Netns, ifName: string, sendOnly: boolean): number {
  const index = interfaceIndex(ifName);
  if (index === undefined) {
    throw new SluiceError(
      'not_found',
      `${netns.path} has no interface ${ifName}`,
      'is the container still attached?',
    );
  }
  const fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // Bound with the protocol: until then it would see every interface of the namespace.
  const address = Buffer.alloc(SOCKADDR_LL_BYTES);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16LE(sendOnly ? 0 : ETH_P_ALL_BE, 2);
  address.writeInt32LE(index, 4);
  try {
    bind(fd, address);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

function socketOver(fd: number, ifName: string): PacketSocket {
  const into = Buffer.alloc(LARGEST_FRAME);
  const sender = Buffer.alloc(SOCKADDR_LL_BYTES);

  function one(): SeenFrame | undefined {
    const length = receiveFrom(fd, into, MSG_DONTWAIT, sender);
    if (length === undefined) return undefined;
    return { bytes: Buffer.from(into.subarray(0, length)), outgoing: sender[PKTTYPE_AT] === PACKET_OUTGOING };
  }

  return {
    ifName,
    send(frame): void {
      try {
        sendto(fd, frame, 0, null);
      } catch (cause) {
        throw new SluiceError(
          'kernel_refused',
          `cannot send a frame on ${ifName}: ${String(cause)}`,
          'is the interface up?',
          { cause },
        );
      }
    },
    take(): SeenFrame[] {
      const frames: SeenFrame[] = [];
      for (let frame = one(); frame !== undefined; frame = one()) frames.push(frame);
      return frames;
    },
    async next(fits, timeoutMs): Promise<SeenFrame | undefined> {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        for (let frame = one(); frame !== undefined; frame = one()) if (fits(frame)) return frame;
        if (performance.now() >= deadline) return undefined;
        await sleep(POLL_MS);
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function int32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeInt32LE(value);
  return out;
}
