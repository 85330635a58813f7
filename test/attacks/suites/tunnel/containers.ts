/** A7: tunnels that red builds itself. */
import { openNetns } from '../../../../linux/netns.ts';
import { sendUdp } from '../../../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../../../model/addresses.ts';
import { ETHERTYPE, ipv4 } from '../../../frames.ts';
import { attack, blueNics, framesBeforeControls, lineOf, type Suite } from '../../attack.ts';
import { TUNNEL_PORT } from '../../carriage.ts';
import { frame, packet, sendPaced } from '../../traffic.ts';
import { AT, TOKEN_BYTES, tunnelBetweenNodes } from '../../tunnel-frames.ts';
import type { Nic, World } from '../../world.ts';
import { bitsOf, flipped, fragmentsOf, genuine, ip, PATIENCE_MS, PAYLOAD } from './made.ts';

const BESIDE_SOURCE_PORT = 49_999;

/** A tunnel to blue with the cluster's own key, in UDP from one of red's interfaces. */
function fromRed(all: World, nic: Nic, destination: Ipv4, fields: object = {}): Buffer {
  const { blue, tags } = all;
  const far = nic.node === 'a' ? blue.b1.internal : blue.a1.internal;
  const near = nic.node === 'a' ? blue.a1.internal : blue.b1.internal;
  const given = { payload: PAYLOAD, tag: { tenant: tags.blue } };
  const inside = tunnelBetweenNodes(all, far, near, given).subarray(20);
  return frame(
    nic,
    nic.gatewayMac,
    ETHERTYPE.ipv4,
    ipv4({ source: nic.address, destination, ...fields }, inside),
  );
}

/** All addresses of machines that the tunnel could lead to. */
const machines = ({ lab, red }: World, side: Nic['side']): Ipv4[] => [
  lab.node('a').address,
  lab.node('b').address,
  lab.internet.address,
  red.a1[side].gateway,
  ...(side === 'external' ? [red.b1.external.gateway] : []),
];

export const tunnelsOfContainers: Suite = (world) =>
  describe('A7: tunnels that red builds itself', () => {
    attack(world, {
      id: 'A7',
      name: "tunnel with the cluster's own key, to nodes, gateways, the internet, external",
      from: ({ red }) => red.a1.external,
      frames: (all) => machines(all, 'external').map((to) => fromRed(all, all.red.a1.external, to)),
      dropped: { by: 'tunnel_port' },
    });
    attack(world, {
      id: 'A7',
      name: 'the same, internal',
      from: ({ red }) => red.a1.internal,
      frames: (all) => machines(all, 'internal').map((to) => fromRed(all, all.red.a1.internal, to)),
      dropped: { by: ['tunnel_port', 'not_internal'] },
    });
    attack(world, {
      id: 'A7',
      name: 'tunnel in fragments: the first has the port, the later ones do not',
      act: async (all) => {
        const { red, lab } = all;
        const whole = fromRed(all, red.a1.external, lab.node('b').address);
        const parts = [16, 64, 128].flatMap((cut) => fragmentsOf(whole, [cut]));
        await sendPaced(red.a1.external.socket, [...parts, ...parts.toReversed()]);
        return parts.length * 2;
      },
      dropped: { by: 'tunnel_port', times: 0.5 },
    });
    attack(world, {
      id: 'A7',
      name: "tunnel to blue's and to red's own containers, to everybody and to groups",
      act: async (all) => {
        const { red, blue } = all;
        const me = red.a1.internal;
        const given = { payload: PAYLOAD, tag: { tenant: all.tags.blue } };
        const inside = tunnelBetweenNodes(all, blue.b1.internal, blue.a1.internal, given).subarray(20);
        const frames = [
          ...[blue.a1.internal, blue.b1.internal, red.a2.internal, red.b1.internal].map((to) =>
            packet(me, to, {}, inside),
          ),
          ...['10.64.3.255', '255.255.255.255', '224.0.0.1'].map((to) => fromRed(all, me, ip(to))),
        ];
        await sendPaced(me.socket, frames);
        return frames.length;
      },
    });
    attack(world, {
      id: 'A7',
      name: 'tunnel by its own kernel, from the tunnel port to the tunnel port',
      act: ({ red, lab }) => {
        using netns = openNetns(red.a1.container.netns);
        const targets = [lab.node('a').address, lab.node('b').address, red.a1.external.gateway];
        for (const address of targets)
          for (const bytes of [0, 50, 1_400])
            sendUdp(netns, { address, port: TUNNEL_PORT }, Buffer.alloc(bytes));
        return targets.length * 3;
      },
      dropped: { by: 'tunnel_port' },
    });

    it('A7: red publishes the tunnel port, and is told that it is not to be had', async () => {
      const { lab } = world();
      const mapping = { hostPort: TUNNEL_PORT, containerPort: TUNNEL_PORT, protocol: 'udp' };
      const attempts = [mapping, { ...mapping, hostIP: lab.node('a').address }];
      for (const portMapping of attempts) {
        const asked = lab.container('a', 'red', 'tunnel-trap', {
          runtimeConfig: { portMappings: [portMapping] },
        });
        await expect(asked).rejects.toThrow(`udp port ${TUNNEL_PORT} of this node`);
      }
      lineOf(world(), 'A7', 'publishes the tunnel port', attempts.length, attempts.length);
    });

    it('A7: not even a port that is in the maps takes what comes to the tunnel', async () => {
      const all = world();
      const { lab, stranger, blue, red } = all;
      const node = lab.node('a');
      const table = ['ip', 'sluice_a', 'ports_any'] as const;
      const ports = [TUNNEL_PORT, TUNNEL_PORT + 1];
      const elements = (what: (port: number) => string): string => `{ ${ports.map(what).join(', ')} }`;
      const target = `${red.a1.external.address} . ${TUNNEL_PORT}`;
      await node.exec(['nft', 'add', 'element', ...table, elements((port) => `udp . ${port} : ${target}`)]);
      try {
        for (const { socket } of blueNics(all)) socket.take();
        const own = genuine(all);
        const forged = bitsOf(TOKEN_BYTES).map((bit) => flipped(own, bit));
        await sendPaced(stranger.socket, [own, ...forged]);
        // By the port beside it, red does get what is sent.
        const beside = Buffer.from(own);
        beside.writeUInt16BE(TUNNEL_PORT + 1, AT.udp + 2);
        // A flow of its own: one that began before the port was published would stay as it was.
        beside.writeUInt16BE(BESIDE_SOURCE_PORT, AT.udp);
        stranger.socket.send(beside);
        const caught: string[] = [];
        const seen = await red.a1.external.socket.next(({ bytes, outgoing }) => {
          const isOurs = !outgoing && bytes.includes(PAYLOAD);
          if (isOurs) caught.push(bytes.toString('hex'));
          return isOurs;
        }, PATIENCE_MS);
        expect(seen).toBeDefined();
        caught.push(
          ...red.a1.external.socket
            .take()
            .filter(({ bytes, outgoing }) => !outgoing && bytes.includes(PAYLOAD))
            .map(({ bytes }) => bytes.toString('hex')),
        );
        const tried = forged.length + 1;
        lineOf(
          all,
          'A7',
          'what comes to the tunnel, past a published port',
          tried,
          tried + 1 - caught.length,
        );
        expect(caught).toHaveLength(1);
        if (all.variant.accepted.includes('vxlan')) {
          const told = await blue.a1.internal.socket.next(
            ({ bytes, outgoing }) => !outgoing && bytes.includes(PAYLOAD),
            PATIENCE_MS,
          );
          expect(told).toBeDefined();
        }
      } finally {
        await node.exec(['nft', 'delete', 'element', ...table, elements((port) => `udp . ${port}`)]);
      }
      await framesBeforeControls(all, []);
    });
  });
