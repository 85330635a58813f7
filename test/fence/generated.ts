/** Packets at the uplink, generated: right ones, and right ones with something wrong, in every proportion that matters. */
import fc from 'fast-check';
import { internetChecksum } from '../../linux/frames.ts';
import { type Ipv4, numberToIpv4 } from '../../model/addresses.ts';
import type { KeyEpoch, TenantTag } from '../../model/names.ts';
import { ipv4, PROTOCOL, udp } from '../frames.ts';
import type { Direction } from './plain-judge.ts';
import { EPOCH, INTERNET, KEYLESS_EPOCH, OTHER_TENANT, OUTSIDER, SECRET, TENANT, tag } from './world.ts';

export interface Generated {
  readonly direction: Direction;
  /** Whose mark it bears on the way out; 0: nobody's. */
  readonly tenant: number;
  /** From the IPv4 header on. */
  readonly packet: Buffer;
  /** A header of IPv4 with right lengths and checksum: others the kernel drops before any plane sees them. */
  readonly wellFormed: boolean;
}

const within = (first: number, count: number): fc.Arbitrary<Ipv4> =>
  fc.integer({ min: first + 2, max: first + count - 2 }).map(numberToIpv4);
const own = within(0x0a40_0000, 1024);
const remote = within(0x0a40_0400, 1024);
const outside = fc.constantFrom(INTERNET, OUTSIDER);
const often = <T>(usual: fc.Arbitrary<T>, ...others: fc.Arbitrary<T>[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 12, arbitrary: usual }, ...others.map((arbitrary) => ({ weight: 1, arbitrary })));

const protocol = fc.constantFrom(PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.icmp, 47, 132);
const fragment = often(fc.constant(0), fc.constant(0x4000), fc.constantFrom(0x2000, 0x20b9, 0x00b9, 0x0001));
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 64 }).map((bytes) => udp(1000, 2000, bytes)),
  fc.uint8Array({ minLength: 0, maxLength: 1_400 }).map((bytes) => Buffer.from(bytes)),
);
const epoch = often(
  fc.constant(EPOCH),
  fc.constant(KEYLESS_EPOCH),
  fc.integer({ min: 0, max: 255 }).map((one) => one as KeyEpoch),
);
const tenant = often(
  fc.constant(TENANT),
  fc.constant(OTHER_TENANT),
  fc.integer({ min: 1, max: 0xff_ff_ff }).map((one) => one as TenantTag),
);
const foreignOptions = fc.constantFrom(
  '01010101',
  '94040000',
  '9e1001',
  '9e100100',
  '83070400000000ff',
  `${'01'.repeat(16)}`,
  `${'01'.repeat(40)}`,
);

/** What is done to the bytes of a packet that was right. */
type Mutation =
  | 'none'
  | 'bit-in-tag'
  | 'bit-in-header'
  | 'cut'
  | 'total-length'
  | 'no-tag'
  | 'other-options'
  | 'two-tags';
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Mutation>('none') },
  { weight: 6, arbitrary: fc.constant<Mutation>('bit-in-tag') },
  {
    weight: 7,
    arbitrary: fc.constantFrom<Mutation>(
      'bit-in-header',
      'cut',
      'total-length',
      'no-tag',
      'other-options',
      'two-tags',
    ),
  },
);

/** @returns the options of a packet from the wire, and the tenant's tag in them */
const incoming = fc
  .record({
    source: often(remote, own, outside),
    destination: often(own, outside, remote),
    ...{ protocol, fragment, payload, epoch, tenant, mutation },
    options: foreignOptions,
    spot: fc.nat(),
  })
  .map(({ payload, epoch, tenant, mutation, options, spot, ...fields }): Generated => {
    const right = tag({ ...fields, epoch, tenant, secret: SECRET });
    const shown: Record<string, Buffer> = {
      'no-tag': Buffer.alloc(0),
      'other-options': padded(options),
      'two-tags': Buffer.concat([right, right]),
    };
    const packet = ipv4({ ...fields, options: shown[mutation] ?? right }, payload);
    return finished('in', 0, mutate(packet, mutation, spot));
  });

const outgoing = fc
  .record({
    source: often(own, remote, outside),
    destination: often(remote, outside),
    ...{ protocol, fragment, payload, mutation },
    tenant: fc.constantFrom(TENANT, TENANT, TENANT, OTHER_TENANT, 0),
    options: foreignOptions,
    spot: fc.nat(),
  })
  .map(({ payload, tenant, mutation, options, spot, ...fields }): Generated => {
    const shown = mutation === 'other-options' || mutation === 'two-tags' ? padded(options) : Buffer.alloc(0);
    return finished('out', tenant, mutate(ipv4({ ...fields, options: shown }, payload), mutation, spot));
  });

/** What is done to an ICMP error that was right. */
type ErrorMutation = 'none' | 'bit-in-tag' | 'bit-in-quote' | 'damaged' | 'forged' | 'cut' | 'total-length';
const errorMutation: fc.Arbitrary<ErrorMutation> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<ErrorMutation>('none') },
  { weight: 5, arbitrary: fc.constant<ErrorMutation>('bit-in-tag') },
  {
    weight: 6,
    arbitrary: fc.constantFrom<ErrorMutation>('bit-in-quote', 'damaged', 'forged', 'cut', 'total-length'),
  },
);
const word = fc.integer({ min: 0, max: 0xffff });
const quotedOptions = often(fc.constant('right'), fc.constant('no-tag'), fc.constant('two-tags'));

/** What routers say of packets that have left this node, to their senders. */
const errors = fc
  .record({
    router: often(outside, remote, own),
    sender: often(own, remote, outside),
    receiver: often(remote, own, outside),
    /** Undefined: whom the quoted packet is from. */
    to: often(fc.constant(undefined), own),
    ...{ protocol, fragment, payload, epoch, tenant, mutation: errorMutation, options: quotedOptions },
    behindTag: often(fc.constant(''), foreignOptions),
    type: often(fc.constantFrom(3, 11, 12), fc.integer({ min: 0, max: 255 })),
    code: often(fc.constant(4), fc.integer({ min: 0, max: 15 })),
    /** Pointer and length of the quote, or nothing. */
    places: fc.oneof(fc.constant(0), fc.constantFrom(0x2304, 0x2405), word),
    mtu: fc.oneof(fc.constantFrom(0, 67, 68, 83, 84, 1_280, 1_400), word),
    quotedBytes: often(fc.constant(548), fc.integer({ min: 0, max: 80 })),
    outerOptions: often(fc.constant(''), foreignOptions),
    outerFragment: often(fc.constant(0), fc.constant(0x4000), fc.constantFrom(0x2000, 0x0001)),
    spot: fc.nat(),
  })
  .map(({ router, sender, to, mutation, quotedBytes, outerOptions, outerFragment, spot, ...about }) => {
    const quote = quoted({ ...about, source: sender, forged: mutation === 'forged' });
    if (mutation === 'bit-in-tag' && quote.length >= 36) flip(quote, 20 * 8 + (spot % (16 * 8)));
    if (mutation === 'bit-in-quote') flip(quote, spot % (20 * 8));
    const message = errorAbout(quote.subarray(0, quotedBytes), about);
    if (mutation === 'damaged') flip(message, spot % (message.length * 8));
    const fields = { source: router, destination: to ?? sender, protocol: PROTOCOL.icmp };
    const packet = ipv4({ ...fields, fragment: outerFragment, options: padded(outerOptions) }, message);
    const whole = mutation === 'cut' || mutation === 'total-length' ? mutate(packet, mutation, spot) : packet;
    return finished('in', 0, whole);
  });

interface Quoted {
  readonly source: Ipv4;
  readonly receiver: Ipv4;
  readonly protocol: number;
  readonly fragment: number;
  readonly payload: Buffer;
  readonly epoch: KeyEpoch;
  readonly tenant: TenantTag;
  readonly options: string;
  readonly behindTag: string;
  /** By another key. */
  readonly forged: boolean;
}

function quoted({ source, receiver, options, behindTag, payload, forged, ...fields }: Quoted): Buffer {
  const flow = { ...fields, source, destination: receiver };
  const right = tag({ ...flow, secret: forged ? Buffer.alloc(16, 1) : SECRET });
  const behind = padded(behindTag).subarray(0, 40 - right.length);
  const shown: Record<string, Buffer> = {
    'no-tag': Buffer.alloc(0),
    'two-tags': Buffer.concat([right, right]),
  };
  return ipv4({ ...flow, options: shown[options] ?? Buffer.concat([right, behind]) }, payload);
}

function errorAbout(
  quote: Buffer,
  { type, code, places, mtu }: { type: number; code: number; places: number; mtu: number },
): Buffer {
  const message = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), quote]);
  message.writeUInt16BE(places, 4);
  message.writeUInt16BE(mtu, 6);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

export const generated: fc.Arbitrary<Generated> = fc.oneof(
  { weight: 3, arbitrary: incoming },
  { weight: 2, arbitrary: outgoing },
  { weight: 2, arbitrary: errors },
);

function padded(hex: string): Buffer {
  const bytes = Buffer.from(hex, 'hex');
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

function mutate(packet: Buffer, mutation: Mutation, spot: number): Buffer {
  const headerBytes = Math.min((packet.readUInt8(0) & 15) * 4, packet.length);
  switch (mutation) {
    case 'bit-in-tag':
      if (headerBytes > 20) flip(packet, 20 * 8 + (spot % ((headerBytes - 20) * 8)));
      return packet;
    case 'bit-in-header':
      flip(packet, spot % (20 * 8));
      return packet;
    case 'cut':
      return packet.subarray(0, spot % (packet.length + 1));
    case 'total-length':
      packet.writeUInt16BE(spot % 0x1_0000, 2);
      return packet;
    default:
      return packet;
  }
}

function flip(packet: Buffer, bit: number): void {
  packet.writeUInt8(packet.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
}

/** With the checksum that whoever made it would have computed. */
function finished(direction: Direction, tenant: number, packet: Buffer): Generated {
  const headerBytes = packet.length < 20 ? 0 : (packet.readUInt8(0) & 15) * 4;
  const whole = headerBytes >= 20 && packet.length >= headerBytes;
  if (whole) {
    packet.writeUInt16BE(0, 10);
    packet.writeUInt16BE(internetChecksum(packet.subarray(0, headerBytes)), 10);
  }
  const wellFormed =
    whole &&
    packet.readUInt8(0) >> 4 === 4 &&
    packet.readUInt16BE(2) >= headerBytes &&
    packet.readUInt16BE(2) <= packet.length;
  return { direction, tenant, packet, wellFormed };
}
