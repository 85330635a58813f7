/** The fence on the link itself: what is meant for everybody or for nobody, and what red does as root of its own network. */
import { openNetns } from '../../../linux/netns.ts';
import { askTcp, ping, sendUdp } from '../../../linux/probe-sockets.ts';
import type { Ipv4, Mac } from '../../../model/addresses.ts';
import { BROADCAST, ETHERTYPE, ipv4, PROTOCOL } from '../../frames.ts';
import { attack, blueNics, everyNic, framesBeforeControls, lineOf, type Suite } from '../attack.ts';
import { arpFrame, frame, packet, range, sendPaced } from '../traffic.ts';
import { execInside, type Nic, type World } from '../world.ts';

const ip = (text: string): Ipv4 => text as Ipv4;
const redInternal = ({ red }: World): Nic => red.a1.internal;

/** The group's Ethernet address (RFC 1112). */
function groupMac(group: string): Mac {
  const [, b = 0, c = 0, d = 0] = group.split('.').map(Number);
  return [0x01, 0x00, 0x5e, b & 127, c, d].map((byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}

const GROUPS = ['224.0.0.1', '224.0.0.2', '224.0.0.22', '224.0.0.251', '239.1.2.3', '239.255.255.250'];
const BROADCASTS = ['255.255.255.255', '10.64.3.255', '10.64.7.255', '10.79.255.255', '10.64.0.0'].map(ip);
const to = (from: Nic, mac: Mac, destination: Ipv4, protocol: number = PROTOCOL.udp): Buffer =>
  frame(from, mac, ETHERTYPE.ipv4, ipv4({ source: from.address, destination, protocol }));

const toEverybody: Suite = (world) =>
  describe('L1: to everybody and to nobody', () => {
    attack(world, {
      id: 'L1',
      name: 'broadcast: every kind of broadcast address; two of blue would hear each',
      from: redInternal,
      frames: ({ red }) =>
        range(50, (i) => to(red.a1.internal, BROADCAST, BROADCASTS[i % BROADCASTS.length]!)),
      dropped: { by: 'other_tenant', times: 2 },
    });
    attack(world, {
      id: 'L1',
      name: 'multicast and group membership; two of blue would hear each',
      from: redInternal,
      frames: ({ red }) =>
        GROUPS.flatMap((group) =>
          [PROTOCOL.udp, 2].map((protocol) => to(red.a1.internal, groupMac(group), ip(group), protocol)),
        ),
      dropped: { by: 'other_tenant', times: 2 },
    });
    attack(world, {
      id: 'L1',
      name: 'honest ARP requests for every address of the block; two of blue would hear each',
      from: redInternal,
      frames: ({ red }) =>
        range(1022, (i) =>
          arpFrame(red.a1.internal, {
            operation: 'request',
            targetIp: ip(`10.64.${(i + 1) >> 8}.${(i + 1) & 255}`),
          }),
        ),
      dropped: { by: 'other_tenant', times: 2 },
    });
    attack(world, {
      id: 'L1',
      name: 'broadcast and multicast on the external side; two of blue would hear each',
      from: ({ red }) => red.a1.external,
      frames: ({ red }) => [
        ...GROUPS.map((group) => to(red.a1.external, groupMac(group), ip(group))),
        ...['255.255.255.255', '10.80.3.255'].map((all) => to(red.a1.external, BROADCAST, ip(all))),
        arpFrame(red.a1.external, { operation: 'request' }),
      ],
      dropped: { by: 'other_tenant', times: 2 },
    });
    attack(world, {
      id: 'L1',
      name: 'unknown unicast: MAC addresses that nobody has',
      from: redInternal,
      frames: ({ red, blue }) =>
        range(256, (i) =>
          to(
            red.a1.internal,
            `02:aa:00:00:00:${i.toString(16).padStart(2, '0')}` as Mac,
            blue.a1.internal.address,
          ),
        ),
    });
    attack(world, {
      id: 'L1',
      name: "the other node's broadcast addresses, routed there",
      from: redInternal,
      frames: ({ red }) =>
        BROADCASTS.slice(1).map((address) => to(red.a1.internal, red.a1.internal.gatewayMac, address)),
    });
  });

const straightToBlue: Suite = (world) =>
  describe('L2: straight to blue', () => {
    attack(world, {
      id: 'L2',
      name: 'on one node: IPv4 and honest ARP to its MAC, internal',
      from: redInternal,
      frames: ({ red, blue }) =>
        range(100, (i) =>
          i % 2
            ? packet(red.a1.internal, blue.a1.internal)
            : arpFrame(red.a1.internal, {}, blue.a1.internal.mac),
        ),
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'L2',
      name: 'on one node: IPv4 and honest ARP to its MAC, external',
      from: ({ red }) => red.a1.external,
      frames: ({ red, blue }) =>
        range(100, (i) =>
          i % 2
            ? packet(red.a1.external, blue.a1.external)
            : arpFrame(red.a1.external, {}, blue.a1.external.mac),
        ),
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'L2',
      name: 'on one node, through the gateway',
      from: redInternal,
      frames: ({ red, blue }) =>
        range(100, () => to(red.a1.internal, red.a1.internal.gatewayMac, blue.a1.internal.address)),
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'L2',
      name: 'between nodes',
      from: redInternal,
      frames: ({ red, blue }) => range(100, () => packet(red.a1.internal, blue.b1.internal)),
      dropped: { by: 'other_tenant', on: 'b' },
    });
    attack(world, {
      id: 'L2',
      name: 'the outside by the inner interface',
      from: redInternal,
      frames: ({ red, blue, lab }) =>
        [lab.internet.address, lab.node('b').address, blue.a1.external.address, ip('10.80.4.2')].map(
          (address) => to(red.a1.internal, red.a1.internal.gatewayMac, address),
        ),
      dropped: { by: 'not_internal' },
    });
    attack(world, {
      id: 'L2',
      name: 'the inside by the outer interface',
      from: ({ red }) => red.a1.external,
      frames: ({ red, blue: { a1, b1 } }) =>
        [a1, b1].flatMap(({ internal }) =>
          [a1.external.mac, red.a1.external.gatewayMac].map((mac) =>
            to(red.a1.external, mac, internal.address),
          ),
        ),
      dropped: { by: 'not_external' },
    });
    attack(world, {
      id: 'L2',
      name: "the other node's external addresses",
      from: ({ red }) => red.a1.external,
      frames: ({ red, blue: { b1, b2 } }) =>
        [b1, b2].map(({ external }) => to(red.a1.external, red.a1.external.gatewayMac, external.address)),
    });
  });

const listening: Suite = (world) =>
  describe('L3: red listens', () => {
    it('L3: hears nothing of blue, with its interfaces in promiscuous mode', async () => {
      const { red, blue, lab } = world();
      const ears = everyNic(red);
      await execInside(red.a1, ['ip', 'link', 'set', 'eth0', 'promisc', 'on']);
      await execInside(red.a1, ['ip', 'link', 'set', 'eth1', 'promisc', 'on']);
      for (const { socket } of ears) socket.take();
      const { a1, a2, b1 } = blue;
      const spoken = [
        ...range(100, () => [a1.internal, packet(a1.internal, a2.internal)] as const),
        ...range(100, () => [a1.internal, packet(a1.internal, b1.internal)] as const),
        ...range(20, (i) => [a1.internal, to(a1.internal, BROADCAST, BROADCASTS[i % 2]!)] as const),
        ...GROUPS.map((group) => [a1.internal, to(a1.internal, groupMac(group), ip(group))] as const),
        ...range(
          20,
          () => [a1.internal, to(a1.internal, '02:aa:00:00:00:01' as Mac, a2.internal.address)] as const,
        ),
        ...range(
          100,
          () => [a1.external, to(a1.external, a1.external.gatewayMac, lab.internet.address)] as const,
        ),
        ...range(20, () => [a1.external, to(a1.external, BROADCAST, BROADCASTS[0]!)] as const),
      ];
      for (const [from, bytes] of spoken) await sendPaced(from.socket, [bytes]);
      const heard = await framesBeforeControls(world(), ears);
      lineOf(
        world(),
        'L3',
        'red listens while blue speaks, to one, to all and to nobody',
        spoken.length,
        spoken.length - heard.length,
      );
      expect(heard).toEqual([]);
    });
  });

/** What red's own kernel sends after each of these, as root of its network namespace. */
const AS_ROOT: readonly { readonly what: string; readonly commands: (world: World) => readonly string[] }[] =
  [
    {
      what: "adds blue's and the gateway's address to its interface, and announces them",
      commands: ({ blue, red }) => [
        `addr add ${blue.a1.internal.address}/22 dev eth1`,
        `addr add ${red.a2.internal.gateway}/22 dev eth1`,
        'link set eth1 arp off',
        'link set eth1 arp on',
        'link set eth1 down',
        'link set eth1 up',
      ],
    },
    {
      what: 'flushes its neighbours and asks for blue by ARP',
      commands: () => ['neigh flush dev eth1', 'neigh flush dev eth0'],
    },
    {
      what: "takes blue's MAC address",
      commands: ({ blue }) => [
        'link set eth1 down',
        `link set eth1 address ${blue.a1.internal.mac}`,
        'link set eth1 up',
      ],
    },
    {
      what: "writes blue's MAC address and the gateway's into its neighbours",
      commands: ({ blue, red }) => [
        `neigh replace ${blue.a1.internal.address} lladdr ${blue.a1.internal.mac} dev eth1`,
        `neigh replace ${blue.b1.internal.address} lladdr ${red.a2.internal.gatewayMac} dev eth1`,
      ],
    },
    {
      what: 'routes the inside by its outer interface, and everything on-link',
      commands: ({ blue }) => [
        `route replace ${blue.a1.internal.address} dev eth0`,
        `route replace ${blue.b1.internal.address} dev eth0`,
        'route replace default dev eth1',
      ],
    },
    {
      what: 'sets an MTU of 9000 on both',
      commands: () => ['link set eth0 mtu 9000', 'link set eth1 mtu 9000'],
    },
    {
      what: 'bridges its two interfaces',
      commands: () => [
        'link add both type bridge',
        'link set both up',
        'link set eth0 master both',
        'link set eth1 master both',
      ],
    },
    {
      what: 'puts a macvlan with an address of its own on top',
      commands: ({ blue }) => [
        'link add link eth1 name mv type macvlan mode bridge',
        `addr add ${blue.a2.internal.address}/22 dev mv`,
        'link set mv up',
      ],
    },
  ];

const rootOfItsNetwork: Suite = (world) =>
  describe('L4: red is root of its own network', () => {
    for (const { what, commands } of AS_ROOT) {
      it(`L4: ${what}`, async () => {
        const all = world();
        // A container for each: what one does to its network is not the next one's.
        const container = await all.lab.container(
          'a',
          'red',
          `root-${AS_ROOT.findIndex((one) => one.what === what)}`,
        );
        try {
          for (const { socket } of blueNics(all)) socket.take();
          await execInside({ container }, [
            'sh',
            '-c',
            commands(all)
              .map((command) => `ip ${command}`)
              .join(' && '),
          ]);
          const targets = [all.blue.a1, all.blue.a2, all.blue.b1].flatMap(({ internal, external }) => [
            internal,
            external,
          ]);
          const tried = await speakToAll(container, targets);
          const arrived = await framesBeforeControls(all, blueNics(all));
          lineOf(world(), 'L4', what, tried, tried - arrived.length);
          expect(arrived).toEqual([]);
        } finally {
          await container.remove();
        }
      });
    }
  });

/** Its kernel sends datagrams of all sizes and opens connections, whatever it believes the way to be. @returns how many */
async function speakToAll(container: { readonly netns: string }, targets: readonly Nic[]): Promise<number> {
  using netns = openNetns(container.netns);
  const sizes = [0, 100, 1_400, 1_456, 1_472, 4_000, 8_900];
  let tried = 0;
  for (const { address } of targets) {
    for (const bytes of sizes) {
      sendUdp(netns, { address, port: 5000 }, Buffer.alloc(bytes));
      tried += 1;
    }
    await ping(netns, address, Buffer.from('are you there?'), 30);
    await askTcp(netns, { address, port: 22 }, '', 30);
    tried += 2;
  }
  return tried;
}

export const neighbours: Suite = (world) => {
  toEverybody(world);
  straightToBlue(world);
  listening(world);
  rootOfItsNetwork(world);
};
