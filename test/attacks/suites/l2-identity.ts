/** A1 to A3: red claims to be somebody else, by ARP, by MAC address, by IPv4 address. */

import { ethernetFrame } from '../../../linux/frames.ts';
import type { Ipv4, Mac } from '../../../model/addresses.ts';
import { BROADCAST, ETHERTYPE, ipv4 } from '../../frames.ts';
import { attack, type Suite } from '../attack.ts';
import { arpFrame, BRIDGE_GROUPS, frame, packet, range, replaceSource, UNASKED_GROUPS } from '../traffic.ts';
import type { Nic, World } from '../world.ts';

const ip = (text: string): Ipv4 => text as Ipv4;
const redInternal = ({ red }: World): Nic => red.a1.internal;
const redExternal = ({ red }: World): Nic => red.a1.external;

/** To groups that bridges keep to themselves. */
const KEPT = [
  ['groups that bridges keep', BRIDGE_GROUPS],
  ['the groups of pauses and of LLDP', UNASKED_GROUPS],
] as const;

/** Requests, replies and announcements of one address, to everybody and to the victim alone. */
function claims(from: Nic, claimed: Ipv4, victim: Nic): Buffer[] {
  return (['request', 'reply'] as const).flatMap((operation) => [
    arpFrame(from, { operation, senderIp: claimed, targetIp: victim.address }),
    arpFrame(from, { operation, senderIp: claimed, targetIp: claimed }),
    arpFrame(from, { operation, senderIp: claimed, targetIp: victim.address }, victim.mac),
  ]);
}

const spoofedArp: Suite = (world) =>
  describe('A1: ARP spoofing', () => {
    attack(world, {
      id: 'A1',
      name: "claims the gateway's internal address",
      from: redInternal,
      frames: ({ red, blue }) => claims(red.a1.internal, red.a1.internal.gateway, blue.a1.internal),
      dropped: { by: 'arp_spoof' },
    });
    attack(world, {
      id: 'A1',
      name: "claims the gateway's external address",
      from: redExternal,
      frames: ({ red, blue }) => claims(red.a1.external, red.a1.external.gateway, blue.a1.external),
      dropped: { by: 'arp_spoof' },
    });
    attack(world, {
      id: 'A1',
      name: "claims blue's addresses, on this node and the other",
      from: redInternal,
      frames: ({ red, blue: { a1, a2, b1 } }) =>
        [a1, a2, b1].flatMap(({ internal }) => claims(red.a1.internal, internal.address, a2.internal)),
      dropped: { by: 'arp_spoof' },
    });
    attack(world, {
      id: 'A1',
      name: "its own address, but somebody else's MAC within the ARP packet",
      from: redInternal,
      frames: ({ red: { a1 }, blue }) =>
        [blue.a1.internal.mac, a1.internal.gatewayMac, BROADCAST].map((senderMac) =>
          arpFrame(a1.internal, { senderMac }),
        ),
      dropped: { by: 'arp_spoof' },
    });
    attack(world, {
      id: 'A1',
      name: "within its own tenant: claims its neighbour's and the gateway's address",
      from: redInternal,
      frames: ({ red: { a1, a2 } }) => [
        ...claims(a1.internal, a2.internal.address, a2.internal),
        ...claims(a1.internal, a1.internal.gateway, a2.internal),
      ],
      victims: ({ red: { a2, b1, b2 } }) => [a2.internal, b1.internal, b2.internal],
      dropped: { by: 'arp_spoof' },
    });
    for (const [which, groups] of KEPT) {
      attack(world, {
        id: 'A1',
        name: `claims the gateway's and blue's address in frames to ${which}`,
        from: redInternal,
        frames: ({ red, blue }) =>
          groups.flatMap((group) =>
            [red.a1.internal.gateway, blue.a1.internal.address].flatMap((senderIp) =>
              (['request', 'reply'] as const).map((operation) =>
                arpFrame(red.a1.internal, { operation, senderIp, targetIp: red.a1.internal.gateway }, group),
              ),
            ),
          ),
        dropped: { by: 'arp_spoof' },
      });
    }
    attack(world, {
      id: 'A1',
      name: 'ARP of other hardware and protocols, and all 65,534 other operations',
      from: redInternal,
      frames: ({ red }) => [
        arpFrame(red.a1.internal, { hardware: 6 }),
        arpFrame(red.a1.internal, { protocol: ETHERTYPE.ipv6 }),
        ...range(65_536, (operation) => operation)
          .filter((operation) => operation !== 1 && operation !== 2)
          .map((operation) => arpFrame(red.a1.internal, { operation })),
      ],
      dropped: { by: 'arp_spoof' },
    });

    it("A1: leaves the node's own neighbour entries as they are", async () => {
      const { lab, blue, red } = world();
      const expected = [red.a1, red.a2, blue.a1, blue.a2].flatMap(({ internal, external }) => [
        internal,
        external,
      ]);
      const entries = JSON.parse(await lab.node('a').exec(['ip', '-j', 'neigh', 'show', 'nud', 'permanent']));
      const all: { dev: string }[] = JSON.parse(await lab.node('a').exec(['ip', '-j', 'neigh', 'show']));
      // Whoever gets past the bridge would be believed to be a neighbour at the port itself.
      expect(all.filter(({ dev }) => !['si-a', 'se-a', 'up0'].includes(dev))).toEqual([]);
      for (const { address, mac } of expected) {
        expect(entries).toContainEqual(expect.objectContaining({ dst: address, lladdr: mac }));
      }
    });
  });

/** Everybody's, groups' and nobody's. */
const NO_SENDERS = [
  'ff:ff:ff:ff:ff:ff',
  '01:00:5e:00:00:01',
  '33:33:00:00:00:01',
  '00:00:00:00:00:00',
] as Mac[];

/** MAC addresses that are not red's: others', and any. */
function foreignMacs({ red, blue }: World, side: 'internal' | 'external'): Mac[] {
  const known = [blue.a1[side].mac, blue.b1[side].mac, red.a2[side].mac, red.a1[side].gatewayMac];
  const others = range(64, (i) => `02:5c:${i.toString(16).padStart(2, '0')}:a7:3c:e1` as Mac);
  return [...known, ...others];
}

const foreignMac: Suite = (world) =>
  describe('A2: source MAC', () => {
    for (const side of ['internal', 'external'] as const) {
      for (const [whose, macs] of [
        ['other MAC addresses', (all: World) => foreignMacs(all, side)],
        ['addresses of groups and of nobody', () => NO_SENDERS],
      ] as const) {
        attack(world, {
          id: 'A2',
          name: `IPv4 and ARP from ${whose}, ${side}`,
          from: ({ red }) => red.a1[side],
          frames: (all) =>
            macs(all).flatMap((mac) =>
              [
                packet(all.red.a1[side], all.blue.a1[side]),
                packet(all.red.a1[side], all.red.a2[side]),
                arpFrame(all.red.a1[side], { senderMac: mac }),
              ].map((frame) => replaceSource(frame, mac)),
            ),
          victims: ({ red: { a2, b1 }, blue: { a1, a2: blue2, b1: blueFar } }) =>
            [a2, b1, a1, blue2, blueFar].map((member) => member[side]),
          dropped: { by: 'source_mac' },
        });
      }
    }

    it('A2: teaches the bridges nothing: they know the containers of their node and nobody else', async () => {
      const { lab, red, blue } = world();
      const members = [red.a1, red.a2, blue.a1, blue.a2];
      const entries = JSON.parse(await lab.node('a').exec(['bridge', '-j', 'fdb', 'show', 'dynamic']));
      const known = (entries as { mac: Mac; state: string }[]).map(({ mac, state }) => `${mac} ${state}`);
      expect(known.sort()).toEqual(
        members
          .flatMap(({ internal, external }) => [`${internal.mac} static`, `${external.mac} static`])
          .sort(),
      );
    });
  });

const foreignAddress: Suite = (world) =>
  describe('A3: source address', () => {
    attack(world, {
      id: 'A3',
      name: 'internal: as blue, as its neighbour, as the gateway, as anybody',
      from: redInternal,
      frames: ({ red: { a1, a2 }, blue }) => {
        const sources = [blue.a2.internal, blue.b2.internal, a2.internal].map(({ address }) => address);
        const others = [
          '0.0.0.0',
          '127.0.0.1',
          '255.255.255.255',
          '224.0.0.1',
          '198.51.100.10',
          '192.0.2.1',
        ].map(ip);
        return [...sources, a1.internal.gateway, ...others].flatMap((source) => [
          packet(a1.internal, blue.a1.internal, { source }),
          packet(a1.internal, blue.b1.internal, { source }),
        ]);
      },
      dropped: { by: 'source_ip' },
    });
    for (const [which, groups] of KEPT) {
      attack(world, {
        id: 'A3',
        name: `as blue, and from its MAC address, in frames to ${which}`,
        from: redInternal,
        frames: ({ red: { a1 }, blue }) =>
          groups.flatMap((group) => {
            const to = (source: Ipv4): Buffer =>
              frame(a1.internal, group, ETHERTYPE.ipv4, ipv4({ source, destination: a1.internal.gateway }));
            return [
              to(blue.a1.internal.address),
              replaceSource(to(a1.internal.address), blue.a1.internal.mac),
            ];
          }),
        dropped: { by: ['source_ip', 'source_mac'] },
      });
    }
    attack(world, {
      id: 'A3',
      name: 'external: as blue, as the node, as a host of the internet',
      from: redExternal,
      frames: ({ red: { a1 }, blue, lab }) =>
        [
          blue.a2.external.address,
          a1.external.gateway,
          lab.node('a').address,
          lab.internet.address,
          ip('0.0.0.0'),
        ].flatMap((source) => [
          packet(a1.external, blue.a1.external, { source }),
          ethernetFrame(
            a1.external.mac,
            a1.external.gatewayMac,
            ETHERTYPE.ipv4,
            ipv4({ source, destination: lab.internet.address }),
          ),
        ]),
      dropped: { by: 'source_ip' },
    });
    attack(world, {
      id: 'A3',
      name: 'with its external address inside, and its internal one outside',
      act: ({ red: { a1 }, blue }) => {
        a1.internal.socket.send(packet(a1.internal, blue.a1.internal, { source: a1.external.address }));
        a1.external.socket.send(packet(a1.external, blue.a1.external, { source: a1.internal.address }));
        return 2;
      },
      dropped: { by: 'source_ip' },
    });
    attack(world, {
      id: 'A3',
      name: 'from the wire, untagged: every internal source, to blue on both nodes',
      from: ({ stranger }) => stranger,
      frames: ({ stranger, red, blue }) =>
        [red.b1, red.b2, blue.b1, blue.b2].map(({ internal }) =>
          ethernetFrame(
            stranger.mac,
            stranger.uplinks.a,
            ETHERTYPE.ipv4,
            ipv4({ source: internal.address, destination: blue.a1.internal.address }),
          ),
        ),
      dropped: { by: 'untagged' },
    });
  });

export const identity: Suite = (world) => {
  spoofedArp(world);
  foreignMac(world);
  foreignAddress(world);
};
