/** A14: red fills the kernel's own tables with what counts in no limit of living flows, and blue goes on. */
import { internetChecksum } from '../../../linux/frames.ts';
import type { Ipv4 } from '../../../model/addresses.ts';
import { ipv4ToBytes } from '../../../model/addresses.ts';
import { PROTOCOL } from '../../frames.ts';
import { until } from '../../runtimes/until.ts';
import type { Suite } from '../attack.ts';
import { packet } from '../traffic.ts';
import {
  AT,
  ECHO_REQUEST,
  flood,
  linesOf,
  refusedFlows,
  report,
  SPARE_FLOWS,
  trackedFlows,
} from './flooding.ts';

/** What the nodes of these suites let a tenant begin, so few that the limit shows. */
export const SLOW = { network: { newFlowsPerSecond: 4_000 } } as const;
const PER_SECOND = SLOW.network.newFlowsPerSecond;

const CONNECTIONS = 50_000;
const HOPS = 50_000;
/** 64 at once, 8 a second while it lasts, those of others. */
const MOST_NEW_HOPS = 64 + 8 * 20;
const HTTP_PORT = 80;
const SYN_AT = { port: AT.udpPorts, sequence: AT.udpPorts + 6 } as const;

/** The first segment of a connection, its checksum right (RFC 9293). */
function syn(source: Ipv4, destination: Ipv4): Buffer {
  const segment = Buffer.from([
    0,
    1,
    0,
    HTTP_PORT,
    0,
    0,
    0xff,
    0xfe,
    0,
    0,
    0,
    0,
    0x50,
    2,
    0xff,
    0xff,
    0,
    0,
    0,
    0,
  ]);
  const pseudo = Buffer.concat([
    ipv4ToBytes(source),
    ipv4ToBytes(destination),
    Buffer.from([0, PROTOCOL.tcp, 0, segment.length]),
    segment,
  ]);
  segment.writeUInt16BE(internetChecksum(pseudo), 16);
  return segment;
}

export const exhaustion: Suite = (world) =>
  describe("A14: the kernel's tables", () => {
    it('A14: connections that are over as soon as they are answered', async () => {
      const { lab, red } = world();
      const away = { ...red.b1.external, address: lab.internet.address };
      const payload = syn(red.a1.external.address, away.address);
      const frame = packet(red.a1.external, away, { protocol: PROTOCOL.tcp }, payload);
      const [before, refusedBefore] = [await trackedFlows(world()), await refusedFlows(world())];
      const begun = performance.now();
      // Red's kernel knows nothing of these connections, and resets each that is answered.
      const result = await flood(
        world(),
        red.a1.external,
        frame,
        (bytes, random, at) => {
          const port = 1_024 + (random.readUInt16BE(at) % 64_000);
          bytes.writeUInt16BE(port, SYN_AT.port);
          // Port and sequence number together are always 0xffff: the checksum stays right.
          bytes.writeUInt16BE(0xffff - port, SYN_AT.sequence);
        },
        CONNECTIONS,
      );
      const seconds = (performance.now() - begun) / 1_000;
      const tracked = (await trackedFlows(world())) - before;
      const refused = (await refusedFlows(world())) - refusedBefore;
      expect(refused).toBeGreaterThan(CONNECTIONS / 2);
      expect(tracked).toBeGreaterThan(PER_SECOND / 4);
      expect(tracked).toBeLessThanOrEqual(PER_SECOND * (1 + Math.min(seconds, 5)) + SPARE_FLOWS);
      report(
        world(),
        `connections that are over; ${tracked} tracked after ${seconds.toFixed(1)} s, ${refused} refused`,
        CONNECTIONS,
        result,
      );
      // The kernel removes what has run out when it is looked at, or needs the room.
      await until(
        'what is over is forgotten',
        async () => (await linesOf(world(), 'conntrack', '--dump', '--proto', 'tcp')) <= SPARE_FLOWS,
      );
    });

    it('A14: every address of the wire, whether there is somebody or not', async () => {
      const { red } = world();
      const before = await linesOf(world(), 'ip', 'neigh', 'show');
      const away = { ...red.b1.external, address: '192.0.2.77' as Ipv4 };
      const frame = packet(red.a1.external, away, { protocol: PROTOCOL.icmp }, ECHO_REQUEST);
      const checksum = frame.readUInt16BE(24);
      let next = 0;
      const result = await flood(
        world(),
        red.a1.external,
        frame,
        (bytes) => {
          const last = 10 + (next++ % 240);
          bytes[AT.ipDestination + 3] = last;
          // Ones' complement: what one field gains the checksum loses (RFC 1624).
          const sum = (~checksum & 0xffff) + (~(0x0200 | 77) & 0xffff) + (0x0200 | last);
          bytes.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 24);
        },
        HOPS,
      );
      const asked = (await linesOf(world(), 'ip', 'neigh', 'show')) - before;
      expect(asked).toBeGreaterThan(0);
      expect(asked).toBeLessThan(MOST_NEW_HOPS);
      report(world(), `neighbours that do not answer; the node asked for ${asked}`, HOPS, result);
    });
  });
