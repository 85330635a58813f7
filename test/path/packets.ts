/** Packets that the tests of the path send and expect: every header field chosen, and what routers make of them. */
import { randomBytes } from 'node:crypto';
import { echoRequest, internetChecksum } from '../../linux/frames.ts';
import { type Ipv4Fields, ipv4, PROTOCOL, udp } from '../frames.ts';
import type { End } from './scene.ts';

const MARKER_BYTES = 12;
const PORTS = { source: 1_000, nobodys: 9 } as const;

export interface Marked {
  readonly packet: Buffer;
  /** Bytes that no other packet has. */
  readonly marker: Buffer;
}

/** An echo request from one container to the other. @param bytes  of its payload, 12 at least */
export function echo(from: End, to: End, fields: Partial<Ipv4Fields> = {}, bytes = MARKER_BYTES): Marked {
  const payload = randomBytes(bytes);
  const message = echoRequest(payload.readUInt16BE(), 1, payload);
  const header = { source: from.address, destination: to.address, protocol: PROTOCOL.icmp, ...fields };
  return { packet: ipv4(header, message), marker: payload.subarray(0, MARKER_BYTES) };
}

/** A datagram to a port that nobody listens to. */
export function toNobody(from: End, to: End): Marked {
  const marker = randomBytes(MARKER_BYTES);
  const datagram = udp(PORTS.source, PORTS.nobodys, marker);
  return { packet: ipv4({ source: from.address, destination: to.address }, datagram), marker };
}

/** The same packet behind so many routers, each of which has counted it. */
export function afterHops(packet: Buffer, hops: number): Buffer {
  return withByte(packet, 8, packet.readUInt8(8) - hops);
}

export function livingFor(packet: Buffer, hops: number): Buffer {
  return withByte(packet, 8, hops);
}

/** @param tos  class and congestion notification */
export function marked(packet: Buffer, tos: number): Buffer {
  return withByte(packet, 1, tos);
}

/** One byte of the header is another, and its checksum is right again. */
function withByte(packet: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(packet);
  copy[at] = value;
  copy.writeUInt16BE(0, 10);
  copy.writeUInt16BE(internetChecksum(copy.subarray(0, (copy.readUInt8() & 15) * 4)), 10);
  return copy;
}
