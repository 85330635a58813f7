/** A4 and A6: red plays router or address server, and looks for a way through IPv6. */

import { ethernetFrame } from '../../../linux/frames.ts';
import type { Ipv4, Mac } from '../../../model/addresses.ts';
import { ipv4ToBytes } from '../../../model/addresses.ts';
import { BROADCAST, ETHERTYPE, extension, ipv4, ipv6, PROTOCOL, udp } from '../../frames.ts';
import { attack, blueNics, dropsOn, framesBeforeControls, lineOf, type Suite } from '../attack.ts';
import { frame, packet, range } from '../traffic.ts';
import { execInside, type Nic, type World } from '../world.ts';

const ALL_NODES = '33:33:00:00:00:01' as Mac;
const EVERYBODY = '255.255.255.255' as Ipv4;
const ROUTER_ADVERTISEMENT = 134;
const DISCOVERY = [133, ROUTER_ADVERTISEMENT, 135, 136, 137];

/** An ICMPv6 message with a prefix that says 'on link, and make yourself an address' (RFC 4861, RFC 4862). */
function discovery(type: number): Buffer {
  const head = Buffer.alloc(type === ROUTER_ADVERTISEMENT ? 16 : 24);
  head[0] = type;
  head.writeUInt16BE(1800, 6);
  const prefix = Buffer.alloc(32);
  prefix.set([3, 4, 64, 0xc0]);
  prefix.set([0x20, 0x01, 0x0d, 0xb8], 16);
  return Buffer.concat([head, prefix]);
}

/** As they are, and behind every kind of extension header that hides them from simple filters (RFC 7113). */
function hidden(message: Buffer): Buffer[] {
  const chains = [0, 43, 60].map((kind) => ipv6(kind, extension(PROTOCOL.icmpv6, message)));
  const deep = range(12, (i) => i).reduce<Buffer>(
    (inner) => extension(60, inner),
    extension(PROTOCOL.icmpv6, message),
  );
  return [
    ipv6(PROTOCOL.icmpv6, message),
    ...chains,
    ipv6(44, extension(PROTOCOL.icmpv6, message)),
    ipv6(60, deep),
  ];
}

const both = ({ red }: World): Nic[] => [red.a1.internal, red.a1.external];

/** Sends what is made for each of red's interfaces. */
async function fromBoth(all: World, make: (nic: Nic) => readonly Buffer[]): Promise<number> {
  let tried = 0;
  for (const nic of both(all)) {
    for (const bytes of make(nic)) {
      nic.socket.send(bytes);
      tried += 1;
    }
  }
  return tried;
}

/** BOOTREPLY with the magic cookie and one option, its message type (RFC 2131). */
function dhcp(message: number): Buffer {
  const body = Buffer.alloc(244);
  body.set([2, 1, 6, 0]);
  body.set([0x63, 0x82, 0x53, 0x63, 53, 1, message, 255], 236);
  return udp(67, 68, body);
}

const rogueServers: Suite = (world) =>
  describe('A4: rogue routers and address servers', () => {
    attack(world, {
      id: 'A4',
      name: 'router advertisements, redirects and neighbour discovery, bare and hidden',
      act: (all) =>
        fromBoth(all, (nic) =>
          DISCOVERY.flatMap((type) => hidden(discovery(type))).flatMap((bytes) =>
            [ALL_NODES, BROADCAST, all.blue.a1.internal.mac].map((to) =>
              frame(nic, to, ETHERTYPE.ipv6, bytes),
            ),
          ),
        ),
      dropped: { by: 'ethertype' },
    });
    attack(world, {
      id: 'A4',
      name: 'DHCPv6 server: advertise, reply and reconfigure',
      act: (all) =>
        fromBoth(all, (nic) =>
          [2, 7, 10].map((type) =>
            frame(
              nic,
              ALL_NODES,
              ETHERTYPE.ipv6,
              ipv6(PROTOCOL.udp, udp(547, 546, Buffer.from([type, 1, 2, 3]))),
            ),
          ),
        ),
      dropped: { by: 'ethertype' },
    });
    attack(world, {
      id: 'A4',
      name: 'DHCP server with its own address: offer, ack and nak; two of blue would hear each',
      act: (all) =>
        fromBoth(all, (nic) =>
          [2, 5, 6].map((type) => {
            const offer = ipv4({ source: nic.address, destination: EVERYBODY }, dhcp(type));
            return frame(nic, BROADCAST, ETHERTYPE.ipv4, offer);
          }),
        ),
      dropped: { by: 'other_tenant', times: 2 },
    });
    attack(world, {
      id: 'A4',
      name: "DHCP server with the gateway's address",
      act: (all) =>
        fromBoth(all, (nic) =>
          [2, 5, 6].map((type) =>
            frame(
              nic,
              BROADCAST,
              ETHERTYPE.ipv4,
              ipv4({ source: nic.gateway, destination: EVERYBODY }, dhcp(type)),
            ),
          ),
        ),
      dropped: { by: 'source_ip' },
    });
    attack(world, {
      id: 'A4',
      name: 'ICMP redirects and router advertisements over IPv4, to blue',
      act: (all) =>
        fromBoth(all, (nic) => {
          const to = nic.side === 'internal' ? all.blue.a1.internal : all.blue.a1.external;
          return [5, 9].map((type) =>
            packet(
              nic,
              to,
              { protocol: PROTOCOL.icmp },
              Buffer.concat([Buffer.from([type, 1]), Buffer.alloc(34)]),
            ),
          );
        }),
      dropped: { by: 'other_tenant' },
    });
  });

/** An IPv6 header between two addresses given as 32 hex digits, with UDP behind it. */
function ipv6Between(source: string, destination: string): Buffer {
  const bytes = ipv6(PROTOCOL.udp, udp(4000, 5000));
  bytes.set(Buffer.from(source, 'hex'), 8);
  bytes.set(Buffer.from(destination, 'hex'), 24);
  return bytes;
}

const hex = (address: Ipv4): string => Buffer.from(ipv4ToBytes(address)).toString('hex');

/** Every way in which an IPv6 address holds an IPv4 one. */
function embedded(address: Ipv4): string[] {
  const v4 = hex(address);
  return [
    `00000000000000000000ffff${v4}`, // mapped, RFC 4291
    `000000000000000000000000${v4}`, // compatible, RFC 4291
    `0000000000000000ffff0000${v4}`, // translated, RFC 2765
    `0064ff9b0000000000000000${v4}`, // NAT64, RFC 6052
    `2002${v4}00000000000000000001`, // 6to4, RFC 3056
    `fe8000000000000000005efe${v4}`, // ISATAP, RFC 5214
    `20010000${v4}0000000000000000`.slice(0, 32), // Teredo, RFC 4380
  ].map((text) => text.padEnd(32, '0'));
}

const ipv6BehindIpv4: Suite = (world) =>
  describe('A6: IPv6 left open behind IPv4 rules', () => {
    attack(world, {
      id: 'A6',
      name: 'IPv6 between addresses that hold IPv4 ones: mapped, 6to4, NAT64, Teredo …',
      act: (all) =>
        fromBoth(all, (nic) => {
          const to = nic.side === 'internal' ? all.blue.a1.internal : all.blue.a1.external;
          return embedded(nic.address).flatMap((source) =>
            embedded(to.address).flatMap((destination) =>
              [to.mac, nic.gatewayMac].map((mac) =>
                frame(nic, mac, ETHERTYPE.ipv6, ipv6Between(source, destination)),
              ),
            ),
          );
        }),
      dropped: { by: 'ethertype' },
    });
    attack(world, {
      id: 'A6',
      name: 'IPv6 in an IPv4 frame, and IPv4 in an IPv6 frame',
      act: (all) =>
        fromBoth(all, (nic) => {
          const honest = ipv4({ source: nic.address, destination: all.blue.a1.internal.address });
          return [
            frame(nic, all.blue.a1.internal.mac, ETHERTYPE.ipv4, ipv6(PROTOCOL.udp, udp(1, 2))),
            frame(nic, all.blue.a1.internal.mac, ETHERTYPE.ipv6, honest),
          ];
        }),
      dropped: { by: ['ethertype', 'malformed'] },
    });
    attack(world, {
      id: 'A6',
      name: 'tunnels to blue and to the node: 6in4, IPIP, GRE, EtherIP',
      act: ({ red: { a1 }, blue }) => {
        const inner = ipv4({ source: blue.a2.internal.address, destination: blue.a1.internal.address });
        const kinds = [
          [41, ipv6(PROTOCOL.udp, udp(1, 2))],
          [4, inner],
          [47, Buffer.concat([Buffer.from('00000800', 'hex'), inner])],
          [
            97,
            Buffer.concat([
              Buffer.from('3000', 'hex'),
              frame(a1.internal, blue.a1.internal.mac, ETHERTYPE.ipv4, inner),
            ]),
          ],
        ] as const;
        for (const [protocol, payload] of kinds) {
          a1.internal.socket.send(packet(a1.internal, blue.a1.internal, { protocol }, payload));
          a1.internal.socket.send(packet(a1.internal, blue.b1.internal, { protocol }, payload));
          a1.external.socket.send(
            frame(
              a1.external,
              a1.external.gatewayMac,
              ETHERTYPE.ipv4,
              ipv4({ source: a1.external.address, destination: a1.external.gateway, protocol }, payload),
            ),
          );
        }
        return kinds.length * 3;
      },
    });
    attack(world, {
      id: 'A6',
      name: 'from the wire: IPv6 to the node, for addresses that hold internal ones',
      from: ({ stranger }) => stranger,
      frames: ({ stranger, blue, red }) =>
        embedded(red.b1.internal.address).flatMap((source) =>
          embedded(blue.a1.internal.address).map((destination) =>
            ethernetFrame(stranger.mac, stranger.uplinks.a, ETHERTYPE.ipv6, ipv6Between(source, destination)),
          ),
        ),
    });

    it('A6: red switches IPv6 on inside its container, and its own kernel speaks it', async () => {
      const { red } = world();
      const before = (await dropsOn(world(), 'a')).get('ethertype') ?? 0;
      for (const { socket } of blueNics(world())) socket.take();
      for (const { ifName } of both(world())) {
        await execInside(red.a1, ['sysctl', '-qw', `net.ipv6.conf.${ifName}.disable_ipv6=0`]);
        await execInside(red.a1, ['ip', '-6', 'addr', 'add', 'fd00::1/64', 'dev', ifName, 'nodad']);
      }
      const spoken = await red.a1.internal.socket.next(
        ({ bytes, outgoing }) => outgoing && bytes.readUInt16BE(12) === ETHERTYPE.ipv6,
        5_000,
      );
      const arrived = await framesBeforeControls(world(), blueNics(world()));
      const refused = ((await dropsOn(world(), 'a')).get('ethertype') ?? 0) - before;
      lineOf(
        world(),
        'A6',
        "IPv6 switched on inside: its kernel's own packets",
        refused,
        refused - arrived.length,
        `  ethertype +${refused}`,
      );
      expect(spoken).toBeDefined();
      expect(refused).toBeGreaterThan(0);
      expect(arrived).toEqual([]);
    });
  });

export const otherProtocols: Suite = (world) => {
  rogueServers(world);
  ipv6BehindIpv4(world);
};
