/** Errors on the way: the container hears who could not do what with the packet that it sent, and sees no carrier. */
import { ROUTER } from '../../lab/topology.ts';
import { internetChecksum } from '../../linux/frames.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import { numberToIpv4 } from '../../model/addresses.ts';
import { afterHops, echo, livingFor, type Marked, toNobody } from './packets.ts';
import {
  arriving,
  type End,
  forgetPaths,
  MIDDLE_MTU,
  ROOM,
  type Scene,
  type Suite,
  say,
  sendFrom,
} from './scene.ts';

const DONT_FRAGMENT = 0x4000;
const ICMP_AT = 20;
const QUOTE_AT = ICMP_AT + 8;
/** RFC 1812, 4.3.2.3: as much as fits 576 bytes. Less would say nothing about what stands behind the headers. */
const LEAST_QUOTE = 28 + 12;
const ATTEMPTS = 5;
const ATTEMPT_MS = 300;

interface Heard {
  readonly from: Ipv4;
  readonly type: number;
  readonly code: number;
  readonly mtu: number;
  /** How often the quoted packet had been counted down. */
  readonly hops: number;
}

/**
 * A kernel tells of so many errors per second only, to everybody together (icmp_msgs_per_sec of icmp(7)), and the datagrams
 * of the tests before may have had their share of them.
 */
async function untilHeard(near: End, { packet, marker }: Marked): Promise<Buffer> {
  for (let left = ATTEMPTS; left > 1; left--) {
    sendFrom(near, packet);
    const heard = await arriving(near.socket, marker, ATTEMPT_MS).catch(() => undefined);
    if (heard !== undefined) return heard;
  }
  sendFrom(near, packet);
  return arriving(near.socket, marker);
}

/** Sends a packet and reads the error about it, whose quote must be what was sent, byte for byte. */
async function errorAbout(near: End, marked: Marked): Promise<Heard> {
  const { packet } = marked;
  const error = await untilHeard(near, marked);
  const quote = error.subarray(QUOTE_AT);
  const hops = packet.readUInt8(8) - quote.readUInt8(8);
  expect(internetChecksum(error.subarray(0, ICMP_AT))).toBe(0);
  expect(internetChecksum(error.subarray(ICMP_AT))).toBe(0);
  expect(error.readUInt16BE(2)).toBe(error.length);
  expect(quote.length).toBeGreaterThanOrEqual(LEAST_QUOTE);
  expect(quote.toString('hex')).toBe(afterHops(packet, hops).subarray(0, quote.length).toString('hex'));
  return {
    from: numberToIpv4(error.readUInt32BE(12)),
    ...{ type: error.readUInt8(ICMP_AT), code: error.readUInt8(ICMP_AT + 1) },
    ...{ mtu: error.readUInt16BE(ICMP_AT + 6), hops },
  };
}

const toldBy = ({ type, code, from, mtu, hops }: Heard): string =>
  `${type}/${code} by ${from}${mtu === 0 ? '' : `, MTU ${mtu}`}, quoted as sent ${hops === 1 ? '1 hop' : `${hops} hops`} before`;

/** Those that count a packet: in the tunnel the router in the middle counts the outer header only. */
export const routersOf = ({ near, far }: Scene, carrier: keyof typeof ROOM): readonly Ipv4[] =>
  carrier === 'option' ? [near.gateway, ROUTER, far.gateway] : [near.gateway, far.gateway];

export const errorsOnTheWay: Suite = (stage) => {
  const { carrier, scene } = stage;
  beforeEach(() => forgetPaths(scene()));

  it('a packet that is too long is quoted as it was sent', async () => {
    const { near, far } = scene();
    const heard = await errorAbout(near, echo(near, far, { fragment: DONT_FRAGMENT }, 1_400));
    say(stage, 'too long for the middle', toldBy(heard));
    expect(heard).toEqual({ from: ROUTER, type: 3, code: 4, mtu: MIDDLE_MTU - ROOM[carrier], hops: 1 });
  });

  it('a packet that is too old is quoted as it was sent, by every router that it gets to', async () => {
    const { near, far } = scene();
    const routers = routersOf(scene(), carrier);
    for (const [index, router] of routers.entries()) {
      const { packet, marker } = echo(near, far);
      const heard = await errorAbout(near, { packet: livingFor(packet, index + 1), marker });
      say(stage, `time to live of ${index + 1}`, toldBy(heard));
      expect(heard).toEqual({ from: router, type: 11, code: 0, mtu: 0, hops: index });
    }
    const { packet, marker } = echo(near, far);
    sendFrom(near, livingFor(packet, routers.length + 1));
    expect((await arriving(near.socket, marker)).readUInt8(ICMP_AT)).toBe(0);
  });

  it('a packet for a port that nobody has is quoted as it was sent', async () => {
    const { near, far } = scene();
    const heard = await errorAbout(near, toNobody(near, far));
    say(stage, 'no such port', toldBy(heard));
    const hops = routersOf(scene(), carrier).length;
    expect(heard).toEqual({ from: far.address, type: 3, code: 3, mtu: 0, hops });
  });
};
