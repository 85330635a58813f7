/** Reads the headers of an IPv4 packet as it comes from a queue. Believes no length. */
import { type Ipv4, numberToIpv4 } from '../../model/addresses.ts';

export const TCP = 6;
export const UDP = 17;

export interface TcpSegment {
  readonly sequence: number;
  readonly syn: boolean;
  readonly ack: boolean;
}

export interface GuardedPacket {
  readonly source: Ipv4;
  readonly destination: Ipv4;
  /** IPv4's protocol field. */
  readonly protocol: number;
  /** 0 for protocols without ports. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly tcp: TcpSegment | undefined;
  /** What TCP or UDP carries; empty for other protocols. A view of the given bytes. */
  readonly payload: Buffer;
}

const NO_PAYLOAD = Buffer.alloc(0);
const SYN = 0x02;
const ACK = 0x10;

/** @returns undefined for what is not one whole IPv4 packet, or has a transport header that is cut short */
export function readGuardedPacket(bytes: Buffer): GuardedPacket | undefined {
  if (bytes.length < 20 || bytes.readUInt8(0) >> 4 !== 4) return undefined;
  const headerBytes = (bytes.readUInt8(0) & 15) * 4;
  // A packet that the device will cut up may be longer than its length field can say.
  const stated = bytes.readUInt16BE(2);
  const length = stated === 0 ? bytes.length : stated;
  if (headerBytes < 20 || length < headerBytes || length > bytes.length) return undefined;
  const isFragment = (bytes.readUInt16BE(6) & 0x3fff) !== 0;
  if (isFragment) return undefined;
  const common = {
    source: numberToIpv4(bytes.readUInt32BE(12)),
    destination: numberToIpv4(bytes.readUInt32BE(16)),
    protocol: bytes.readUInt8(9),
  };
  const transport = bytes.subarray(headerBytes, length);
  if (common.protocol === TCP) return withTcp(common, transport);
  if (common.protocol === UDP) return withUdp(common, transport);
  return { ...common, sourcePort: 0, destinationPort: 0, tcp: undefined, payload: NO_PAYLOAD };
}

type Common = Pick<GuardedPacket, 'source' | 'destination' | 'protocol'>;

function withTcp(common: Common, segment: Buffer): GuardedPacket | undefined {
  if (segment.length < 20) return undefined;
  const headerBytes = (segment.readUInt8(12) >> 4) * 4;
  if (headerBytes < 20 || headerBytes > segment.length) return undefined;
  const flags = segment.readUInt8(13);
  return {
    ...common,
    sourcePort: segment.readUInt16BE(0),
    destinationPort: segment.readUInt16BE(2),
    tcp: {
      sequence: segment.readUInt32BE(4),
      syn: (flags & SYN) !== 0,
      ack: (flags & ACK) !== 0,
    },
    payload: segment.subarray(headerBytes),
  };
}

function withUdp(common: Common, datagram: Buffer): GuardedPacket | undefined {
  if (datagram.length < 8) return undefined;
  const length = datagram.readUInt16BE(4);
  if (length !== 0 && (length < 8 || length > datagram.length)) return undefined;
  return {
    ...common,
    sourcePort: datagram.readUInt16BE(0),
    destinationPort: datagram.readUInt16BE(2),
    tcp: undefined,
    payload: datagram.subarray(8, length === 0 ? datagram.length : length),
  };
}

/** One flow, in one direction, in one word. */
export function flowKey({
  protocol,
  source,
  sourcePort,
  destination,
  destinationPort,
}: Omit<GuardedPacket, 'tcp' | 'payload'>): string {
  return `${protocol} ${source}:${sourcePort} ${destination}:${destinationPort}`;
}
