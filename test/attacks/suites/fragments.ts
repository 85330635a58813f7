/** A9: fragments that hide what they are, overlap, come alone, or come together from two tenants. */
import { ethernetFrame } from '../../../linux/frames.ts';
import { ETHERTYPE, ipv4, MORE_FRAGMENTS, PROTOCOL, udp } from '../../frames.ts';
import { attack, blueNics, framesBeforeControls, lineOf, type Suite } from '../attack.ts';
import { packet, range, sendPaced, tagged } from '../traffic.ts';
import type { Nic, World } from '../world.ts';

const WHOLE = udp(4000, 5000, Buffer.alloc(1016));
/** What nobody of blue has said. */
const FOREIGN = Buffer.alloc(1024, 0xa7);
const redInternal = ({ red }: World): Nic => red.a1.internal;
const victims = ({ blue }: World): Nic[] => [blue.a1.internal, blue.b1.internal];

/** Flags and offset. @param offset  in bytes, a multiple of 8 */
const at = (offset: number, more: boolean): number => (more ? MORE_FRAGMENTS : 0) | (offset / 8);

/** The pieces of one datagram; `cut` are the offsets at which one ends and the next begins. */
function pieces(cut: readonly number[]): { readonly fragment: number; readonly payload: Buffer }[] {
  const ends = [...cut, WHOLE.length];
  return [0, ...cut].map((start, i) => ({
    fragment: at(start, i < cut.length),
    payload: WHOLE.subarray(start, ends[i]),
  }));
}

export const fragments: Suite = (world) =>
  describe('A9: fragments', () => {
    it('A9: whole datagrams in fragments do pass within a tenant, on one node and between two', async () => {
      const { red } = world();
      for (const to of [red.a2.internal, red.b1.internal]) {
        to.socket.take();
        for (const { fragment, payload } of pieces([512])) {
          red.a1.internal.socket.send(packet(red.a1.internal, to, { fragment }, payload));
          const seen = await to.socket.next(
            ({ bytes, outgoing }) =>
              !outgoing && bytes.length === 34 + payload.length && bytes.readUInt16BE(20) === fragment,
            5_000,
          );
          expect(seen).toBeDefined();
        }
      }
    });

    attack(world, {
      id: 'A9',
      name: 'tiny first fragments: 0 to 15 bytes of payload',
      from: redInternal,
      frames: (all) =>
        victims(all).flatMap((to) =>
          range(16, (bytes) =>
            packet(redInternal(all), to, { fragment: at(0, true) }, WHOLE.subarray(0, bytes)),
          ),
        ),
      dropped: { by: 'fragment' },
    });
    attack(world, {
      id: 'A9',
      name: 'fragments that begin at byte 8, over the ports and flags of the first (RFC 3128)',
      from: redInternal,
      frames: (all) =>
        victims(all).flatMap((to) =>
          range(64, (i) =>
            packet(
              redInternal(all),
              to,
              { fragment: at(8, i % 2 === 0), protocol: PROTOCOL.tcp },
              WHOLE.subarray(0, 8 + 8 * i),
            ),
          ),
        ),
      dropped: { by: 'fragment' },
    });
    attack(world, {
      id: 'A9',
      name: 'overlapping fragments: the second rewrites the first, inside and beyond it',
      from: redInternal,
      frames: ({ red, blue }) =>
        [16, 24, 64, 256, 504].flatMap((start) =>
          [true, false].flatMap((more) => [
            packet(red.a1.internal, blue.a1.internal, { fragment: at(0, true) }, WHOLE.subarray(0, 512)),
            packet(
              red.a1.internal,
              blue.a1.internal,
              { fragment: at(start, more) },
              WHOLE.subarray(start, start + 256),
            ),
          ]),
        ),
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'A9',
      name: 'later fragments alone, up to the last offset there is, on this node',
      from: redInternal,
      frames: ({ red, blue }) =>
        [16, 24, 512, 8192, 65_520].flatMap((start) =>
          [true, false].map((more) =>
            packet(red.a1.internal, blue.a1.internal, { fragment: at(start, more) }, WHOLE.subarray(0, 64)),
          ),
        ),
      dropped: { by: 'other_tenant' },
    });
    attack(world, {
      id: 'A9',
      name: 'later fragments alone, to the other node',
      from: redInternal,
      frames: ({ red, blue }) =>
        [16, 24, 512, 8192, 65_520].flatMap((start) =>
          [true, false].map((more) =>
            packet(red.a1.internal, blue.b1.internal, { fragment: at(start, more) }, WHOLE.subarray(0, 64)),
          ),
        ),
      dropped: { by: 'other_tenant', on: 'b' },
    });
    attack(world, {
      id: 'A9',
      name: "red completes blue's datagrams: same number, same protocol, blue's addresses",
      from: redInternal,
      frames: ({ red, blue }) =>
        [blue.a1.internal, blue.b1.internal].flatMap((to) =>
          pieces([16, 512]).map(({ fragment, payload }) =>
            packet(red.a1.internal, to, { source: blue.a2.internal.address, fragment }, payload),
          ),
        ),
      dropped: { by: ['source_ip', 'fragment'] },
    });
    attack(world, {
      id: 'A9',
      name: 'external: fragments in every order to blue, which the node itself reassembles',
      from: ({ red }) => red.a1.external,
      frames: ({ red, blue }) => {
        const parts = pieces([256, 512, 768]).map(({ fragment, payload }) =>
          packet(red.a1.external, blue.a1.external, { fragment }, payload),
        );
        return [...parts, ...parts.toReversed(), ...parts];
      },
    });
    attack(world, {
      id: 'A9',
      name: 'from the wire: fragments without a tag, first and later ones',
      from: ({ stranger }) => stranger,
      frames: ({ stranger, blue }) =>
        pieces([16, 256, 512]).map(({ fragment, payload }) =>
          ethernetFrame(
            stranger.mac,
            stranger.uplinks.a,
            ETHERTYPE.ipv4,
            ipv4(
              { source: blue.b1.internal.address, destination: blue.a1.internal.address, fragment },
              payload,
            ),
          ),
        ),
      dropped: { by: 'untagged' },
    });
    attack(world, {
      id: 'A9',
      name: "from the wire: a first fragment with red's own tag, the later ones with none",
      from: ({ stranger }) => stranger,
      frames: (all) =>
        pieces([256, 512]).map(({ fragment, payload }, i) =>
          tagged(
            all,
            all.red.b1.internal,
            all.blue.a1.internal,
            { fragment, ...(i > 0 && { options: Buffer.alloc(0) }) },
            payload,
          ),
        ),
      dropped: { by: ['other_tenant', 'untagged'] },
    });

    it("A9: from the wire: behind blue's own first fragment, later ones without a tag", async () => {
      const all = world();
      const { blue, stranger } = all;
      const [first, ...later] = pieces([256, 512]).map(({ fragment, payload }) => ({
        fragment,
        payload: fragment === MORE_FRAGMENTS ? payload : FOREIGN.subarray(0, payload.length),
      }));
      const from = blue.b1.internal;
      const to = blue.a1.internal;
      for (const { socket } of blueNics(all)) socket.take();
      const own = { tenant: all.tags.blue, fragment: first!.fragment };
      const injected = later.map(({ fragment, payload }) =>
        tagged(all, from, to, { fragment, options: Buffer.alloc(0) }, payload),
      );
      // Whoever puts fragments together before the tag is looked at would take them for blue's.
      await sendPaced(stranger.socket, [
        ...injected,
        tagged(all, from, to, own, first!.payload),
        ...injected,
      ]);
      const arrived = await framesBeforeControls(all, [to]);
      const foreign = arrived.filter((text) => text.includes(FOREIGN.subarray(0, 64).toString('hex')));
      const tried = injected.length * 2;
      lineOf(
        all,
        'A9',
        "from the wire: behind blue's own first fragment, later ones without a tag",
        tried,
        tried - foreign.length,
      );
      expect(arrived).toHaveLength(1);
      expect(foreign).toEqual([]);
    });
  });
