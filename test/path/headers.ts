/** What carriage leaves alone: options, the time to live, the class, and what routers say about congestion. */
import { ETHERNET_BYTES } from '../../linux/frames.ts';
import { type Ipv4, numberToIpv4 } from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import { routersOf } from './errors.ts';
import { afterHops, echo, marked } from './packets.ts';
import { arriving, type Suite, say, sendFrom, sendTo } from './scene.ts';

const ECN = [0, 1, 2, 3] as const;
const EXPEDITED = 0xb8; // RFC 3246
const TYPES_OF_SERVICE = [0, EXPEDITED, 0x88].flatMap((dscp) => ECN.map((ecn) => dscp | ecn));
const OPTIONS_AT = 20;
/** Options of 24 bytes, which are as many as there is room for. */
const RECORD_ROUTE = Buffer.concat([Buffer.from([7, 23, 4]), Buffer.alloc(21)]);
const TIMESTAMPS = Buffer.concat([Buffer.from([68, 24, 5, 0]), Buffer.alloc(20)]);
/** What the receiver is told, by the packet's own bits, then by those that the wire has made of the outer ones. */
const COMBINED: Readonly<Record<Carrier, readonly (readonly (number | 'dropped')[])[]>> = {
  // The outer ones are the packet's own.
  option: ECN.map(() => ECN),
  // RFC 6040, figure 4
  vxlan: [
    [0, 0, 0, 'dropped'],
    [1, 1, 1, 3],
    [2, 1, 2, 3],
    [3, 3, 3, 3],
  ],
};

/** The option's entries, of so many bytes, up to where its pointer says that the next one belongs. */
function entriesOf(packet: Buffer, first: number): Buffer[] {
  const option = packet.subarray(OPTIONS_AT);
  const count = Math.floor((option.readUInt8(2) - first) / 4);
  return Array.from({ length: count }, (_, index) =>
    option.subarray(first - 1 + 4 * index, first + 3 + 4 * index),
  );
}

const addressIn = (entry: Buffer): Ipv4 => numberToIpv4(entry.readUInt32BE());

export const optionsOnTheWay: Suite = (stage) => {
  const { carrier, scene } = stage;

  it('routes are recorded there and back', async () => {
    const { near, far } = scene();
    const { packet, marker } = echo(near, far, { options: RECORD_ROUTE });
    sendFrom(near, packet);
    const asked = await arriving(far.socket, marker);
    const answered = await arriving(near.socket, marker);
    const recorded = entriesOf(asked, 4).map(addressIn);
    say(stage, 'record route', recorded.join(', '));
    expect(recorded).toEqual(routersOf(scene(), carrier));
    expect(asked.subarray(44).equals(packet.subarray(44))).toBe(true);
    expect(entriesOf(answered, 4).slice(0, recorded.length).map(addressIn)).toEqual(recorded);
    expect([asked[0], answered[0], answered[44]]).toEqual([0x4b, 0x4b, 0]);
  });

  it('timestamps are written there and back', async () => {
    const { near, far } = scene();
    const { packet, marker } = echo(near, far, { options: TIMESTAMPS });
    sendFrom(near, packet);
    const asked = await arriving(far.socket, marker);
    const answered = await arriving(near.socket, marker);
    const [there, back] = [entriesOf(asked, 5).length, entriesOf(answered, 5).length];
    say(stage, 'timestamps', `${there} there, ${back} when back`);
    expect(there).toBe(routersOf(scene(), carrier).length);
    expect(back).toBeGreaterThan(there);
    expect(asked.subarray(44).equals(packet.subarray(44))).toBe(true);
    expect([asked[0], answered[0], answered[44]]).toEqual([0x4b, 0x4b, 0]);
  });
};

export const headersOnTheWay: Suite = (stage) => {
  const { carrier, scene } = stage;

  it('a packet arrives as it was sent but for the routers that it passed', async () => {
    const { near, far } = scene();
    const hops = routersOf(scene(), carrier).length;
    for (const tos of TYPES_OF_SERVICE) {
      const { packet, marker } = echo(near, far, { tos });
      sendFrom(near, packet);
      expect((await arriving(near.port, marker))[1]).toBe(tos);
      expect((await arriving(far.socket, marker)).toString('hex')).toBe(
        afterHops(packet, hops).toString('hex'),
      );
      expect((await arriving(near.socket, marker))[1]).toBe(tos);
    }
    say(stage, 'class, congestion, time to live', `${TYPES_OF_SERVICE.length} packets, arrived as sent`);
  });

  it('congestion that the router notes comes to the receiver', async () => {
    const { near, far } = scene();
    const hops = routersOf(scene(), carrier).length;
    let right = 0;
    for (const own of ECN) {
      const { packet, marker } = echo(far, near, { tos: EXPEDITED | own });
      sendFrom(far, packet);
      const sent = await near.port.next(({ bytes, outgoing }) => outgoing && bytes.includes(marker), 2_000);
      await arriving(near.socket, marker);
      for (const noted of ECN) {
        // The same packet again, as a router that has something to say about the queue would have sent it.
        sendTo(near, marked(sent!.bytes.subarray(ETHERNET_BYTES), EXPEDITED | noted));
        const control = echo(far, near);
        sendFrom(far, control.packet);
        const seen: Buffer[] = [];
        await near.socket.next(({ bytes, outgoing }) => {
          if (!outgoing && bytes.includes(marker)) seen.push(bytes.subarray(ETHERNET_BYTES));
          return !outgoing && bytes.includes(control.marker);
        }, 2_000);
        const expected = COMBINED[carrier][own]![noted]!;
        const arrives = expected === 'dropped' ? [] : [marked(afterHops(packet, hops), EXPEDITED | expected)];
        expect(seen.map((one) => one.toString('hex'))).toEqual(arrives.map((one) => one.toString('hex')));
        right += 1;
      }
    }
    say(stage, 'congestion noted on the way', `${right} of ${ECN.length ** 2} as they should`);
  });
};
