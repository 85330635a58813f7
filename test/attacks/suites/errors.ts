/** A8: ICMP errors about packets between nodes, made up by a stranger who has no tag to quote, and by red. */
import { ethernetFrame, internetChecksum } from '../../../linux/frames.ts';
import type { Ipv4 } from '../../../model/addresses.ts';
import { Carrier } from '../../../model/carrier.ts';
import { makeTag } from '../../../tagqueue/token.ts';
import { optionOf } from '../../../tagqueue/wire.ts';
import { ETHERTYPE, type Ipv4Fields, ipv4, PROTOCOL } from '../../frames.ts';
import { attack, framesBeforeControls } from '../attack.ts';
import { changed, range } from '../traffic.ts';
import { tunnelBetweenNodes } from '../tunnel-frames.ts';
import type { Nic, World } from '../world.ts';

const ROUTER = '192.0.2.66' as Ipv4;
const UNREACHABLE = 3;
const ERRORS: readonly number[] = [UNREACHABLE, 11, 12];
const TOO_BIG = 4;
const MTU = 1_300;
const PATIENCE_MS = 5_000;
const ERROR_BYTES = 8;
const stranger = ({ stranger }: World): World['stranger'] => stranger;

/** What a node has put on the wire, from its outer header on, and to whom an error about it goes. */
interface Sent {
  readonly packet: Buffer;
  readonly to: Ipv4;
  /** Where the signature stands in the packet. */
  readonly mac: readonly number[];
}

/** What the signature was made for, where that is not what it stands in. */
interface SignedFor {
  readonly flow?: readonly [Nic, Nic];
  readonly protocol?: number;
  readonly carrier?: Carrier;
}

/** Blue's packet from node a to node b. @param tenant  who has signed it */
function sentBy(all: World, carrier: Carrier, tenant: 'red' | 'blue', other: SignedFor = {}): Sent {
  const { blue, tags, key, lab } = all;
  const [from, to] = [blue.a1.internal, blue.b1.internal];
  const [signedFrom, signedTo] = other.flow ?? [from, to];
  const { protocol = PROTOCOL.udp, carrier: signedCarrier = carrier } = other;
  const signed = {
    source: signedFrom.address,
    destination: signedTo.address,
    protocol,
    carrier: signedCarrier,
  };
  if (carrier === 'option') {
    const options = optionOf(makeTag(signed, tags[tenant], key, signedCarrier));
    const packet = ipv4({ source: from.address, destination: to.address, options });
    return { packet, to: from.address, mac: range(8, (i) => 28 + i) };
  }
  const packet = tunnelBetweenNodes(all, from, to, { tag: { tenant: tags[tenant] }, signed });
  return { packet, to: lab.node('a').address, mac: [38, 39, 40, 41, 44, 45, 46, 47] };
}

interface ErrorFields extends Partial<Ipv4Fields> {
  readonly type?: number;
  readonly code?: number;
}

/** The error as a router between the nodes sends it, but for what is given. */
function errorAbout({ stranger }: World, { packet, to }: Omit<Sent, 'mac'>, given: ErrorFields = {}): Buffer {
  const { type = UNREACHABLE, code = TOO_BIG, ...fields } = given;
  const message = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, MTU >> 8, MTU & 255]), packet]);
  const even = message.length % 2 === 0 ? message : Buffer.concat([message, Buffer.alloc(1)]);
  message.writeUInt16BE(internetChecksum(even), 2);
  const error = ipv4({ source: ROUTER, destination: to, protocol: PROTOCOL.icmp, ...fields }, message);
  return ethernetFrame(stranger.mac, stranger.uplinks.a, ETHERTYPE.ipv4, error);
}

/** Errors about packets of the carriers that the nodes take in, and of those they do not. */
export function quotedTags(world: () => World, accepted: readonly Carrier[]): void {
  for (const carrier of accepted) {
    describe(`A8: ICMP errors that quote a packet, ${carrier}`, () => {
      it('A8: one that quotes what the node has really sent does arrive', async () => {
        const all = world();
        const { blue } = all;
        blue.a1.internal.socket.take();
        all.stranger.socket.send(errorAbout(all, sentBy(all, carrier, 'blue')));
        const seen = await blue.a1.internal.socket.next(
          ({ bytes, outgoing }) => !outgoing && bytes[23] === PROTOCOL.icmp && bytes[34] === UNREACHABLE,
          PATIENCE_MS,
        );
        expect(seen).toBeDefined();
        await framesBeforeControls(all, []);
      });

      attack(world, {
        id: 'A8',
        name: `errors: each of the 64 bits of the quoted signature flipped, ${carrier}`,
        from: stranger,
        frames: (all) => {
          const sent = sentBy(all, carrier, 'blue');
          return sent.mac.flatMap((at) =>
            range(8, (bit) =>
              errorAbout(all, { ...sent, packet: changed(sent.packet, at, sent.packet[at]! ^ (1 << bit)) }),
            ),
          );
        },
        dropped: { by: 'tag_forged' },
      });
      attack(world, {
        id: 'A8',
        name: `errors: quoting red's authentic signature, and blue's of another flow, ${carrier}`,
        from: stranger,
        frames: (all) => {
          const { blue, red } = all;
          return [
            errorAbout(all, sentBy(all, carrier, 'red')),
            errorAbout(all, sentBy(all, carrier, 'blue', { flow: [blue.a2.internal, blue.b1.internal] })),
            errorAbout(all, sentBy(all, carrier, 'blue', { flow: [blue.b1.internal, blue.a1.internal] })),
            errorAbout(all, sentBy(all, carrier, 'red', { flow: [red.a1.internal, red.b1.internal] })),
          ];
        },
        dropped: { by: ['other_tenant', 'tag_forged'] },
      });
      attack(world, {
        id: 'A8',
        name: `errors: quoting signatures of another protocol, and of the other carrier, ${carrier}`,
        from: stranger,
        frames: (all) => [
          ...[PROTOCOL.icmp, PROTOCOL.tcp, 0].map((protocol) =>
            errorAbout(all, sentBy(all, carrier, 'blue', { protocol })),
          ),
          errorAbout(
            all,
            sentBy(all, carrier, 'blue', { carrier: carrier === 'option' ? 'vxlan' : 'option' }),
          ),
        ],
        dropped: { by: 'tag_forged' },
      });
      attack(world, {
        id: 'A8',
        name: `errors: every other type of ICMP around a genuine quote, redirects among them, ${carrier}`,
        from: stranger,
        frames: (all) =>
          range(256, (type) => type)
            .filter((type) => !ERRORS.includes(type))
            .map((type) => errorAbout(all, sentBy(all, carrier, 'blue'), { type, code: 1 })),
      });
      attack(world, {
        id: 'A8',
        name: `errors: the quote cut off at every byte of its headers, ${carrier}`,
        from: stranger,
        frames: (all) => {
          const sent = sentBy(all, carrier, 'blue');
          const headers = carrier === 'option' ? 36 : 70;
          return range(headers, (length) =>
            errorAbout(all, { ...sent, packet: sent.packet.subarray(0, length) }),
          );
        },
      });
      attack(world, {
        id: 'A8',
        name: `errors: to others than the sender of what is quoted, in fragments, from internal addresses, ${carrier}`,
        from: stranger,
        frames: (all) => {
          const { blue } = all;
          const sent = sentBy(all, carrier, 'blue');
          return [
            errorAbout(all, { ...sent, to: blue.a2.internal.address }),
            errorAbout(all, sent, { fragment: 0x2000 }),
            errorAbout(all, sent, { fragment: 1 + ERROR_BYTES }),
            errorAbout(all, sent, { source: blue.b1.internal.address }),
            errorAbout(all, sent, { source: blue.a2.internal.address }),
            errorAbout(all, sent, { options: Buffer.from([1, 1, 1, 1]) }),
          ];
        },
      });
    });
  }

  for (const carrier of Carrier.options.filter((one) => !accepted.includes(one))) {
    attack(world, {
      id: 'A8',
      name: `errors: quoting what the node would have sent, had it sent that way, ${carrier}`,
      from: stranger,
      frames: (all) =>
        ERRORS.flatMap((type) => {
          const sent = sentBy(all, carrier, 'blue');
          const inner = all.blue.a1.internal.address;
          return [sent, { ...sent, to: inner }].map((one) => errorAbout(all, one, { type }));
        }),
    });
  }

  attack(world, {
    id: 'A8',
    name: "errors: quoting blue's packet as it left its container, without any tag",
    from: stranger,
    frames: (all) => {
      const { blue } = all;
      const [source, destination] = [blue.a1.internal.address, blue.b1.internal.address];
      const bare = { packet: ipv4({ source, destination }), to: source };
      return ERRORS.map((type) => errorAbout(all, bare, { type }));
    },
    dropped: { by: 'untagged' },
  });

  describe('A8: ICMP errors by red about what blue sends', () => {
    attack(world, {
      id: 'A8',
      name: "errors: from red's interfaces, quoting blue's packets with their tags",
      act: (all) => {
        const { red, blue } = all;
        let tried = 0;
        for (const carrier of ['option', 'vxlan'] as const) {
          const sent = sentBy(all, carrier, 'blue');
          for (const nic of [red.a1.internal, red.a1.external, red.b1.internal, red.b1.external]) {
            for (const to of [sent.to, blue.a1.internal.address]) {
              const error = errorAbout(all, { ...sent, to }, { source: nic.address }).subarray(14);
              nic.socket.send(ethernetFrame(nic.mac, nic.gatewayMac, ETHERTYPE.ipv4, error));
              tried += 1;
            }
          }
        }
        return tried;
      },
    });
  });
}
