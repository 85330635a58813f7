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
  internetChecksum,
  ipv4Packet,
  PROTOCOL,
  udpDatagram,
} from '../../linux/frames.ts';
import { bytesToMac, type Ipv4, type Mac } from '../../model/addresses.ts';
import { TAG_BYTES, TAG_OPTION } from '../../tagqueue/options.ts';
import { decodeTunnel, TUNNEL_BYTES } from '../../tagqueue/wire-vxlan.ts';
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
  { options, tunnel }: Envelope = BARE,
): Buffer {
  const packet = ipv4Packet(
    { source: from.address, destination: to, protocol: PROTOCOL.icmp, options },
    echoRequest(randomBytes(2).readUInt16BE(), 1, token),
  );
  return ethernetFrame(from.mac, via, ETHERTYPE.ipv4, inTunnel(tunnel, packet));
}

/** Where a tag stands: in the packet's options, or in the headers of the tunnel around it. One of both is empty. */
export interface Envelope {
  readonly options: Buffer;
  readonly tunnel: Buffer;
}

/** Without any tag. */
export const BARE: Envelope = { options: Buffer.alloc(0), tunnel: Buffer.alloc(0) };

/** Headers that were seen around one packet, around another: lengths and the outer header's checksum follow. */
function inTunnel(seen: Buffer, packet: Buffer): Buffer {
  if (seen.length === 0) return packet;
  const tunnel = Buffer.from(seen);
  const length = tunnel.length + packet.length;
  tunnel.writeUInt16BE(length, 2);
  tunnel.writeUInt16BE(length - IPV4_BYTES, IPV4_BYTES + 4);
  tunnel.writeUInt16BE(0, 10);
  tunnel.writeUInt16BE(internetChecksum(tunnel.subarray(0, IPV4_BYTES)), 10);
  return Buffer.concat([tunnel, packet]);
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
  readonly genuine: Envelope;
}

/** @returns undefined for a frame that carries no tag. */
export function readStamped(frame: Buffer): Stamped | undefined {
  if (frame.length < ETHERNET_BYTES + IPV4_BYTES || frame.readUInt16BE(12) !== ETHERTYPE.ipv4)
    return undefined;
  const genuine = envelopeOf(frame.subarray(ETHERNET_BYTES));
  const [nextHop, source] = [bytesToMac(frame.subarray(0, 6)), bytesToMac(frame.subarray(6, 12))];
  return genuine && { source, nextHop, genuine };
}

function envelopeOf(packet: Buffer): Envelope | undefined {
  if (isInTunnel(packet)) return { ...BARE, tunnel: Buffer.from(packet.subarray(0, TUNNEL_BYTES)) };
  if (!isTagged(packet)) return undefined;
  return { ...BARE, options: Buffer.from(packet.subarray(IPV4_BYTES, IPV4_BYTES + TAG_BYTES)) };
}

function isTagged(packet: Buffer): boolean {
  const words = packet.readUInt8() & 15;
  return (
    words * 4 === IPV4_BYTES + TAG_BYTES &&
    packet.length >= words * 4 &&
    packet[IPV4_BYTES] === TAG_OPTION &&
    packet[IPV4_BYTES + 1] === TAG_BYTES
  );
}

function isInTunnel(packet: Buffer): boolean {
  return packet.length >= TUNNEL_BYTES && typeof decodeTunnel(packet, packet.readUInt16BE(22)) !== 'string';
}

export interface Forgery {
  readonly what: string;
  readonly envelope: Envelope;
}

const MAC_BITS = 64;
/** Where each thing of a tag stands: in the 16 bytes of the option, and in the 50 bytes of the tunnel. */
const OPTION_AT = {
  tenant: 5,
  version: 2,
  epoch: 3,
  mac: Array.from({ length: 8 }, (_, n) => 8 + n),
} as const;
const TUNNEL_AT = { tenant: 32, version: 43, epoch: 37, mac: [38, 39, 40, 41, 44, 45, 46, 47] } as const;
type Places = {
  readonly tenant: number;
  readonly version: number;
  readonly epoch: number;
  readonly mac: readonly number[];
};

/**
 * Tags that look right and are not: each differs from a genuine one in what only the key's owner can make.
 * @param genuine  of this node, for the very addresses and protocol that the forgeries will be sent with
 */
export function forgeries(
  { options, tunnel }: Envelope,
  random: (bytes: number) => Buffer = randomBytes,
): Forgery[] {
  if (tunnel.length > 0)
    return [...liesIn(tunnel, TUNNEL_AT, random), ...strangeTunnels(tunnel)].map(({ what, bytes }) => ({
      what,
      envelope: { ...BARE, tunnel: bytes },
    }));
  return [...liesIn(options, OPTION_AT, random), ...strangeOptions(options)].map(({ what, bytes }) => ({
    what,
    envelope: { ...BARE, options: bytes },
  }));
}

interface Lie {
  readonly what: string;
  readonly bytes: Buffer;
}

function liesIn(genuine: Buffer, at: Places, random: (bytes: number) => Buffer): Lie[] {
  const withMac = (mac: Buffer): Buffer =>
    at.mac.reduce<Buffer>((bytes, place, n) => changed(bytes, place, () => mac.readUInt8(n)), genuine);
  const flips = Array.from({ length: MAC_BITS }, (_, bit) => ({
    what: `with bit ${bit} of the MAC flipped`,
    bytes: changed(genuine, at.mac[bit >> 3] ?? 0, (byte) => byte ^ (1 << (bit & 7))),
  }));
  const nobody = [0, 1, 2].reduce((bytes, n) => changed(bytes, at.tenant + n, zero), genuine);
  return [
    { what: 'with a random MAC', bytes: withMac(random(8)) },
    { what: 'with a MAC of zeroes', bytes: withMac(Buffer.alloc(8)) },
    ...flips,
    { what: "with another tenant's number", bytes: changed(genuine, at.tenant + 2, (byte) => byte ^ 1) },
    { what: 'with tenant 0', bytes: nobody },
    { what: 'with another version', bytes: changed(genuine, at.version, (byte) => byte + 1) },
    { what: 'with another key epoch', bytes: changed(genuine, at.epoch, (byte) => byte + 1) },
  ];
}

function strangeOptions(genuine: Buffer): Lie[] {
  return [
    { what: 'cut short', bytes: Buffer.concat([Buffer.from([TAG_OPTION, 12]), genuine.subarray(2, 12)]) },
    { what: 'behind another option', bytes: Buffer.concat([Buffer.from([1, 1, 1, 1]), genuine]) },
    { what: 'twice', bytes: Buffer.concat([genuine, genuine]) },
  ];
}

function strangeTunnels(genuine: Buffer): Lie[] {
  return [
    { what: 'from an address that is no node', bytes: changed(genuine, 15, (byte) => byte ^ 0x80) },
    { what: 'that is no valid VNI', bytes: changed(genuine, 28, zero) },
    { what: 'with a group policy', bytes: changed(genuine, 28, (byte) => byte | 0x80) },
    { what: 'under a UDP checksum', bytes: changed(genuine, 27, (byte) => byte + 1) },
  ];
}

const zero = (): number => 0;

function changed(bytes: Buffer, at: number, change: (byte: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(change(copy.readUInt8(at)) & 0xff, at);
  return copy;
}
