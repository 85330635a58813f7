/** A5: frames that slip past filters which look at the EtherType: VLAN tags, LLC and SNAP, and every type there is. */

import { ethernetFrame } from '../../../linux/frames.ts';
import type { Mac } from '../../../model/addresses.ts';
import { arp, BROADCAST, ETHERTYPE, ipv4, ipv6, PROTOCOL, udp } from '../../frames.ts';
import { attack, type Suite } from '../attack.ts';
import { BRIDGE_GROUPS, frame, range, UNASKED_GROUPS } from '../traffic.ts';
import type { Nic, World } from '../world.ts';

const EVERY_TYPE = range(65_536, (type) => type).filter(
  (type) => type !== ETHERTYPE.ipv4 && type !== ETHERTYPE.arp,
);
const VLAN_TYPES: readonly number[] = [ETHERTYPE.vlan, ETHERTYPE.serviceVlan];
const QINQ_OF_OLD = 0x9100;

/** A VLAN tag's control word and the type behind it. @param id  0 to 4095 */
function vlan(id: number, type: number, payload: Uint8Array, priority = 0): Buffer {
  return Buffer.concat([
    Buffer.from([(priority << 5) | (id >> 8), id & 255, type >> 8, type & 255]),
    payload,
  ]);
}

/** LLC: an unnumbered information frame between two service access points. */
const llc = (sap: number, payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([sap, sap, 3]), payload]);
/** SNAP: an organisation and a type behind LLC (IEEE 802). */
const snap = (organisation: string, type: number, payload: Uint8Array): Buffer =>
  llc(0xaa, Buffer.concat([Buffer.from(organisation, 'hex'), Buffer.from([type >> 8, type & 255]), payload]));

/** What a victim's stack would take in, if it were freed of what stands before it. */
function contents(from: Nic, to: Nic): { readonly type: number; readonly bytes: Buffer }[] {
  const claim = {
    operation: 'reply',
    senderMac: from.mac,
    senderIp: to.gateway,
    targetIp: to.address,
  } as const;
  return [
    { type: ETHERTYPE.ipv4, bytes: ipv4({ source: from.address, destination: to.address }) },
    { type: ETHERTYPE.arp, bytes: arp(claim) },
    { type: ETHERTYPE.ipv6, bytes: ipv6(PROTOCOL.udp, udp(1, 2)) },
  ];
}

const targets = (to: Nic): Mac[] => [to.mac, BROADCAST];

/** The contents in all wrappings, to the victim alone and to everybody. */
function wrapped(
  from: Nic,
  to: Nic,
  wrap: (type: number, bytes: Buffer) => readonly [number, Buffer][],
): Buffer[] {
  return contents(from, to).flatMap(({ type, bytes }) =>
    wrap(type, bytes).flatMap(([outer, payload]) =>
      targets(to).map((mac) => frame(from, mac, outer, payload)),
    ),
  );
}

const fromRed = (side: 'internal' | 'external') => ({
  from: ({ red }: World): Nic => red.a1[side],
  pair: ({ red, blue }: World): [Nic, Nic] => [red.a1[side], blue.a1[side]],
});

const etherTypes: Suite = (world) => {
  for (const side of ['internal', 'external'] as const) {
    const { from, pair } = fromRed(side);
    describe(`A5: EtherTypes, ${side}`, () => {
      attack(world, {
        id: 'A5',
        name: `VLAN 0 with every priority, and every other VLAN, ${side}`,
        from,
        frames: (all) => [
          ...range(8, (priority) => priority).flatMap((priority) =>
            wrapped(...pair(all), (type, bytes) =>
              VLAN_TYPES.map((outer) => [outer, vlan(0, type, bytes, priority)] as [number, Buffer]),
            ),
          ),
          ...range(4096, (id) =>
            frame(
              from(all),
              BROADCAST,
              ETHERTYPE.vlan,
              vlan(id, ETHERTYPE.ipv4, contents(...pair(all))[0]!.bytes),
            ),
          ),
        ],
        dropped: { by: 'vlan' },
      });
      attack(world, {
        id: 'A5',
        name: `stacked VLAN tags, two to eight deep, ${side}`,
        from,
        frames: (all) =>
          wrapped(...pair(all), (type, bytes) =>
            range(7, (i) => i + 1).flatMap((more) =>
              VLAN_TYPES.map((outer): [number, Buffer] => {
                let inner = vlan(0, type, bytes);
                for (let depth = 0; depth < more; depth++) inner = vlan(depth, ETHERTYPE.vlan, inner);
                return [outer, inner];
              }),
            ),
          ),
        dropped: { by: 'vlan' },
      });
      attack(world, {
        id: 'A5',
        name: `QinQ of old (0x9100) around VLAN 0, ${side}`,
        from,
        frames: (all) =>
          wrapped(...pair(all), (type, bytes) => [
            [QINQ_OF_OLD, vlan(0, ETHERTYPE.vlan, vlan(0, type, bytes))],
          ]),
        dropped: { by: 'ethertype' },
      });
      attack(world, {
        id: 'A5',
        name: `LLC and SNAP: lengths right, wrong, zero and just below 0x0600, ${side}`,
        from,
        frames: (all) =>
          wrapped(...pair(all), (type, bytes) =>
            ['000000', '0000f8', '00000c', 'ffffff'].flatMap((organisation) => {
              const payloads = [
                snap(organisation, type, bytes),
                llc(0x06, bytes),
                llc(0x42, bytes),
                llc(0xe0, bytes),
              ];
              return payloads.flatMap((payload) =>
                [payload.length, 0, 1, 46, 0x05dc, 0x05ff].map((length): [number, Buffer] => [
                  length,
                  payload,
                ]),
              );
            }),
          ),
        dropped: { by: 'ethertype' },
      });
      attack(world, {
        id: 'A5',
        name: `every EtherType there is but IPv4 and ARP, broadcast, ${side}`,
        from,
        frames: (all) =>
          EVERY_TYPE.map((type) => frame(from(all), BROADCAST, type, contents(...pair(all))[0]!.bytes)),
        dropped: { by: ['ethertype', 'vlan'] },
      });
    });
  }
};

const bridgeGroups: Suite = (world) =>
  describe('A5: groups that bridges treat in their own way', () => {
    for (const [name, groups] of [
      ['spanning tree, pause, LACP, LLDP, 802.1X to 01:80:c2:00:00:00 to -0f', BRIDGE_GROUPS],
      ['the same to the groups of pauses and of LLDP', UNASKED_GROUPS],
    ] as const) {
      attack(world, {
        id: 'A5',
        name,
        from: ({ red }) => red.a1.internal,
        frames: ({ red }) =>
          groups.flatMap((group) =>
            [38, 0x8808, 0x8809, 0x88cc, 0x888e].map((type) =>
              frame(red.a1.internal, group, type, llc(0x42, Buffer.alloc(60))),
            ),
          ),
        victims: ({ red, blue }) =>
          [red.a2, blue.a1, blue.a2].flatMap(({ internal, external }) => [internal, external]),
        dropped: { by: 'ethertype' },
      });
    }

    it("A5: leaves the bridge's spanning tree and ports as they were", async () => {
      const ports = JSON.parse(await world().lab.node('a').exec(['bridge', '-j', '-d', 'link', 'show']));
      const containers = ports.filter(
        ({ ifname }: { ifname: string }) => !['sh-a', 'sre-a', 'sri-a'].includes(ifname),
      );
      expect(containers).toHaveLength(8);
      for (const port of containers)
        expect(port).toMatchObject({ state: 'forwarding', learning: false, flood: false });
      for (const port of ports.filter(({ ifname }: { ifname: string }) => ifname.startsWith('sr')))
        expect(port).toMatchObject({ learning: false, flood: false, mcast_flood: false, bcast_flood: false });
      // Only the plane with eBPF has it.
      for (const port of ports.filter(({ ifname }: { ifname: string }) => ifname === 'sh-a'))
        expect(port.state).toBe('disabled');
    });
  });

const etherTypesOnWire: Suite = (world) =>
  describe('A5: from the wire', () => {
    attack(world, {
      id: 'A5',
      name: 'VLAN 0 with an untagged internal packet inside, up to four deep',
      from: ({ stranger }) => stranger,
      frames: ({ stranger, blue }) =>
        range(4, (more) => {
          const packet = ipv4({ source: blue.b1.internal.address, destination: blue.a1.internal.address });
          let inner = vlan(0, ETHERTYPE.ipv4, packet);
          for (let depth = 0; depth < more; depth++) inner = vlan(0, ETHERTYPE.vlan, inner);
          return ethernetFrame(stranger.mac, stranger.uplinks.a, ETHERTYPE.vlan, inner);
        }),
      dropped: { by: ['vlan', 'untagged'] },
    });
    attack(world, {
      id: 'A5',
      name: 'every EtherType there is, to the node',
      from: ({ stranger }) => stranger,
      frames: ({ stranger, blue }) => {
        const packet = ipv4({ source: blue.b1.internal.address, destination: blue.a1.internal.address });
        return EVERY_TYPE.map((type) => ethernetFrame(stranger.mac, stranger.uplinks.a, type, packet));
      },
    });
  });

export const everyEtherType: Suite = (world) => {
  etherTypes(world);
  bridgeGroups(world);
  etherTypesOnWire(world);
};
