/** A container's UDP socket whose datagrams must not be cut, and one that leaves cutting them to the kernel. */
import { closeSync } from 'node:fs';
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
import type { Destination } from '../../linux/probe-sockets.ts';
import { ipv4ToBytes } from '../../model/addresses.ts';

/** linux/in.h, linux/udp.h */
const OPTIONS = {
  neverCut: { level: 0, name: 10, value: 2 }, // IP_MTU_DISCOVER: IP_PMTUDISC_DO
  segments: (bytes: number) => ({ level: 17, name: 103, value: bytes }), // SOL_UDP: UDP_SEGMENT
} as const;

export interface UdpSender extends Disposable {
  /** @returns 'sent', or the error that the kernel answers with */
  send(to: Destination, payload: Buffer): string;
}

/** It never lets a datagram be cut (don't fragment). @param path  of the network namespace */
export function openUncut(path: string): UdpSender {
  return openUdp(path, OPTIONS.neverCut);
}

/** The kernel cuts what is sent into datagrams of so many bytes, as late as it can (GSO). */
export function openSegmented(path: string, bytes: number): UdpSender {
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
