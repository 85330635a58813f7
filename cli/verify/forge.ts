/** Builds the frames of the checks: genuine ones, lies about the sender, and tags that nobody with the key has made. */
import { randomBytes } from 'node:crypto';
import {
  arpPacket,
  BROADCAST_MAC,
  ETHERNET_BYTES,
  ETHERTYPE,
  echoRequest,
  ethernetFrame,
  IPV4_BYTES,
  ipv4Packet,
  PROTOCOL,
  udpDatagram,
} from '../../linux/frames.ts';
import { bytesToMac, type Ipv4, type Mac } from '../../model/addresses.ts';
import { TAG_BYTES, TAG_OPTION } from '../../tagqueue/wire.ts';
import type { Identity } from './stage.ts';

/** discard (RFC 863): nobody listens there. */
const DISCARD = 9;

type Target = Pick<Identity, 'mac' | 'address'>;
type Sender = Pick<Identity, 'mac' | 'address'>;

/** Everybody on the link, by broadcast and by multicast (224.0.0.1: all hosts). */
export const EVERYBODY: Target = { mac: BROADCAST_MAC, address: '255.255.255.255' as Ipv4 };
export const ALL_HOSTS: Target = { mac: '01:00:5e:00:00:01' as Mac, address: '224.0.0.1' as Ipv4 };

export function udpFrame(from: Sender, to: Target, token: Buffer, port: number = DISCARD): Buffer {
  const packet = ipv4Packet(
    { source: from.address, destination: to.address, protocol: PROTOCOL.udp },
    udpDatagram(DISCARD, port, token),
  );
  return ethernetFrame(from.mac, to.mac, ETHERTYPE.ipv4, packet);
}

/** @param via  MAC of the next hop */
export function echoFrame(
  from: Sender,
  via: Mac,
  to: Ipv4,
  token: Buffer,
  options: Uint8Array = new Uint8Array(),
): Buffer {
  const packet = ipv4Packet(
    { source: from.address, destination: to, protocol: PROTOCOL.icmp, options },
    echoRequest(randomBytes(2).readUInt16BE(), 1, token),
  );
  return ethernetFrame(from.mac, via, ETHERTYPE.ipv4, packet);
}

/** An ARP frame with the token as trailer, where Ethernet has its padding. */
export function arpFrame(
  source: Mac,
  destination: Mac,
  operation: 'request' | 'reply',
  claimed: Sender,
  about: Ipv4,
  token: Buffer,
): Buffer {
  const packet = arpPacket({ operation, senderMac: claimed.mac, senderIp: claimed.address, targetIp: about });
  return ethernetFrame(source, destination, ETHERTYPE.arp, Buffer.concat([packet, token]));
}

/** What a stamped packet on the uplink shows. */
export interface Stamped {
  readonly source: Mac;
  readonly nextHop: Mac;
  /** The 16 bytes of option. */
  readonly tag: Buffer;
}

/** @returns undefined for a frame that carries no tag. */
export function readStamped(frame: Buffer): Stamped | undefined {
  const at = ETHERNET_BYTES + IPV4_BYTES;
  const tag = frame.subarray(at, at + TAG_BYTES);
  if (frame.length < at + TAG_BYTES || frame.readUInt16BE(12) !== ETHERTYPE.ipv4) return undefined;
  if ((frame.readUInt8(ETHERNET_BYTES) & 15) * 4 !== IPV4_BYTES + TAG_BYTES) return undefined;
  if (tag[0] !== TAG_OPTION || tag[1] !== TAG_BYTES) return undefined;
  return {
    source: bytesToMac(frame.subarray(6, 12)),
    nextHop: bytesToMac(frame.subarray(0, 6)),
    tag: Buffer.from(tag),
  };
}

export interface Forgery {
  readonly what: string;
  /** IPv4 options. */
  readonly options: Buffer;
}

const MAC_AT = 8;
const MAC_BITS = 64;

/**
 * Tags that look right and are not: each differs from a genuine one in what only the key's owner can make.
 * @param genuine  a tag of this node, for the very addresses and protocol that the forgeries will be sent with
 */
export function forgeries(genuine: Buffer, random: (bytes: number) => Buffer = randomBytes): Forgery[] {
  const flips = Array.from({ length: MAC_BITS }, (_, bit) => ({
    what: `with bit ${bit} of the MAC flipped`,
    options: flipped(genuine, MAC_AT * 8 + bit),
  }));
  return [
    { what: 'with a random MAC', options: Buffer.concat([genuine.subarray(0, MAC_AT), random(8)]) },
    { what: 'with a MAC of zeroes', options: Buffer.concat([genuine.subarray(0, MAC_AT), Buffer.alloc(8)]) },
    ...flips,
    { what: "with another tenant's number", options: changed(genuine, 7, (byte) => byte ^ 1) },
    { what: 'with tenant 0', options: changed(changed(changed(genuine, 5, zero), 6, zero), 7, zero) },
    { what: 'with another version', options: changed(genuine, 2, (byte) => byte + 1) },
    { what: 'with another key epoch', options: changed(genuine, 3, (byte) => byte + 1) },
    { what: 'cut short', options: Buffer.concat([Buffer.from([TAG_OPTION, 12]), genuine.subarray(2, 12)]) },
    { what: 'behind another option', options: Buffer.concat([Buffer.from([1, 1, 1, 1]), genuine]) },
    { what: 'twice', options: Buffer.concat([genuine, genuine]) },
  ];
}

const zero = (): number => 0;

function changed(bytes: Buffer, at: number, change: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(change(copy.readUInt8(at)) & 0xff, at);
  return copy;
}

function flipped(bytes: Buffer, bit: number): Buffer {
  return changed(bytes, bit >> 3, (byte) => byte ^ (1 << (bit & 7)));
}
