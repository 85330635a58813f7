/** A8: tunnels from and to where none are. */
import { attack, type Suite } from '../../attack.ts';
import { genuine, ip, stranger } from './made.ts';

export const forgedEnds: Suite = (world) =>
  describe('A8: tunnels from and to where none are', () => {
    attack(world, {
      id: 'A8',
      name: 'tunnel: the outer source is no node, another one, the node itself, a container',
      from: stranger,
      frames: (all) => {
        const { lab, blue, red } = all;
        const sources = [
          ...[ip('192.0.2.66'), lab.internet.address, lab.node('a').address, ip('0.0.0.0'), ip('127.0.0.1')],
          ...[blue.b1.external.address, red.b1.external.address, blue.b1.external.gateway],
        ];
        return sources.map((source) => genuine(all, { ends: { source } }));
      },
      dropped: { by: 'tunnel_peer' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: to other addresses of the node, to everybody, to loopback, to a container',
      from: stranger,
      frames: (all) => {
        const { blue, red } = all;
        const destinations = [
          ...[blue.a1.external.gateway, blue.a1.internal.gateway, ip('255.255.255.255'), ip('224.0.0.1')],
          ...[ip('127.0.0.1'), red.a1.internal.address, blue.a1.internal.address, blue.a1.external.address],
        ];
        return destinations.map((destination) => genuine(all, { ends: { destination } }));
      },
    });
    attack(world, {
      id: 'A8',
      name: "tunnel: an inner source of the receiving node, of nobody's block, outside the pool",
      from: stranger,
      frames: (all) => {
        const { blue, lab } = all;
        const sources = [
          ...[blue.a2.internal.address, blue.a1.internal.gateway, blue.a1.internal.address],
          ...[
            ip('10.79.255.1'),
            blue.b1.external.address,
            lab.node('b').address,
            ip('127.0.0.1'),
            ip('0.0.0.0'),
          ],
        ];
        return sources.map((source) => genuine(all, { inner: { source } }));
      },
      dropped: { by: 'foreign_source' },
    });
    attack(world, {
      id: 'A8',
      name: 'tunnel: an inner destination of another node, of the node itself, outside the pool',
      from: stranger,
      frames: (all) => {
        const { blue, lab } = all;
        const destinations = [
          ...[blue.b2.internal.address, ip('10.79.255.1'), blue.a1.external.address, lab.node('a').address],
          ...[lab.internet.address, ip('127.0.0.1'), ip('255.255.255.255'), ip('224.0.0.1')],
        ];
        return destinations.map((destination) => genuine(all, { inner: { destination } }));
      },
      dropped: { by: 'tunnel_destination' },
    });
  });
