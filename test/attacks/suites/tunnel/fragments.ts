/** A9: fragments of the tunnel. */
import { MORE_FRAGMENTS } from '../../../frames.ts';
import { attack, type Suite } from '../../attack.ts';
import { range, tagged } from '../../traffic.ts';
import { tunnelled } from '../../tunnel-frames.ts';
import { fragmentsOf, genuine, stranger } from './made.ts';

export const outerFragments: Suite = (world) =>
  describe('A9: fragments of the tunnel', () => {
    attack(world, {
      id: 'A9',
      name: 'tunnel: genuine, in fragments cut at every eighth byte, in both orders',
      from: stranger,
      frames: (all) =>
        range(18, (i) => 8 * (i + 1)).flatMap((at) => {
          const parts = fragmentsOf(genuine(all), [at]);
          return [...parts, ...parts.toReversed()];
        }),
    });
    attack(world, {
      id: 'A9',
      name: 'tunnel: first fragments alone',
      from: stranger,
      frames: (all) => range(18, (i) => fragmentsOf(genuine(all), [8 * (i + 1)])[0]!),
      dropped: { by: 'tunnel_malformed' },
    });
    attack(world, {
      id: 'A9',
      name: "tunnel: red's inner first fragment, authentic, and blue's later ones without a tunnel",
      from: stranger,
      frames: (all) => {
        const { red, blue } = all;
        const parts = [64, 128];
        return [
          tunnelled(all, red.b1.internal, blue.a1.internal, {
            inner: { fragment: MORE_FRAGMENTS },
            payload: Buffer.alloc(64),
          }),
          ...parts.map((start) =>
            tagged(
              all,
              blue.b1.internal,
              blue.a1.internal,
              { fragment: start / 8, options: Buffer.alloc(0) },
              Buffer.alloc(64),
            ),
          ),
        ];
      },
      dropped: { by: ['other_tenant', 'untagged'] },
    });
  });
