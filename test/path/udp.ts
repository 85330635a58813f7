/** UDP as containers send it: datagrams that must not be cut, and many in one piece that the kernel is to cut. */
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AF_INET,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SystemCallError,
  sendto,
  setsockopt,
  socket,
} from '../../linux/libc.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { type Destination, listenUdp } from '../../linux/probe-sockets.ts';
import { type Ipv4, ipv4ToBytes } from '../../model/addresses.ts';

/** linux/in.h, linux/udp.h */
const OPTIONS = {
  neverCut: { level: 0, name: 10, value: 2 }, // IP_MTU_DISCOVER: IP_PMTUDISC_DO
  segments: (bytes: number) => ({ level: 17, name: 103, value: bytes }), // SOL_UDP: UDP_SEGMENT
} as const;

const SOON_MS = 500;

export interface UdpSender extends Disposable {
  /** @returns 'sent', or the error that the kernel answers with */
  send(to: Destination, payload: Buffer): string;
}

/** It never lets a datagram be cut (don't fragment). @param path  of the network namespace */
export function openUncut(path: string): UdpSender {
  return openUdp(path, OPTIONS.neverCut);
}

/** The kernel cuts what is sent into datagrams of so many bytes, as late as it can (GSO). */
function openSegmented(path: string, bytes: number): UdpSender {
  return openUdp(path, OPTIONS.segments(bytes));
}

function openUdp(path: string, option: { level: number; name: number; value: number }): UdpSender {
  using netns = openNetns(path);
  const fd = inNetns(netns, () => socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const value = Buffer.alloc(4);
  value.writeInt32LE(option.value);
  setsockopt(fd, option.level, option.name, value);
  return {
    send({ address, port }, payload): string {
      try {
        sendto(
          fd,
          payload,
          0,
          Buffer.from([AF_INET, 0, port >> 8, port & 255, ...ipv4ToBytes(address), ...ZEROS]),
        );
        return 'sent';
      } catch (error) {
        if (error instanceof SystemCallError) return error.errno;
        throw error;
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

/** The rest of struct sockaddr_in (ip(7)). */
const ZEROS = [0, 0, 0, 0, 0, 0, 0, 0] as const;

/** Datagrams that one call hands over, and the bytes of each. */
const [SEGMENTS, SEGMENT_BYTES] = [40, 1_200];

/** One container hands many datagrams to its kernel in one piece. @returns how many it were, and came to the other */
export async function sendSegments(
  from: string,
  to: string,
  address: Ipv4,
): Promise<{ readonly tried: number; readonly arrived: number }> {
  using netns = openNetns(to);
  using sender = openSegmented(from, SEGMENT_BYTES);
  await using listener = await listenUdp(netns, 0);
  const datagrams = Array.from({ length: SEGMENTS }, () => randomBytes(SEGMENT_BYTES));
  const outcome = sender.send({ address, port: listener.port }, Buffer.concat(datagrams));
  if (outcome !== 'sent') throw new Error(`they are not taken: ${outcome}`);
  const arrived = (): number => datagrams.filter((one) => listener.received(one)).length;
  await soon(() => arrived() === SEGMENTS);
  return { tried: SEGMENTS, arrived: arrived() };
}

/** Whether it holds within half a second. */
export async function soon(holds: () => boolean): Promise<boolean> {
  const end = performance.now() + SOON_MS;
  while (!holds() && performance.now() < end) await sleep(1);
  return holds();
}
