/** A7, A8 and A9 over the carrier `vxlan`: tunnels that red builds itself, and what a stranger forges of them on the wire. */
import { attack, type Suite } from '../attack.ts';
import { AT } from '../tunnel-frames.ts';
import { tunnelsOfContainers } from './tunnel/containers.ts';
import { forgedEnds } from './tunnel/ends.ts';
import { outerFragments } from './tunnel/fragments.ts';
import { bitsOf, flipped, from, genuine, stranger } from './tunnel/made.ts';
import { forgedShapes } from './tunnel/shapes.ts';
import { forgedTokens } from './tunnel/tokens.ts';

/** Where no tunnel is taken in, the same comes to nobody. */
export const noTunnel: Suite = (world) => {
  describe('A8: tunnels where none are taken in', () => {
    attack(world, {
      id: 'A8',
      name: "tunnel: what blue's own node would send, and all its bits flipped",
      from: stranger,
      frames: (all) => {
        const own = genuine(all);
        return [own, ...bitsOf(from(AT.outer, AT.inner + 20)).map((bit) => flipped(own, bit))];
      },
    });
  });
  tunnelsOfContainers(world);
};

export const tunnel: Suite = (world) => {
  forgedTokens(world);
  forgedEnds(world);
  forgedShapes(world);
  outerFragments(world);
  tunnelsOfContainers(world);
};
