/**
 * Lies about the sender. Within one tenant, where nothing but the identity check stands in the way; and from
 * another tenant, which pretends to be the victim's own.
 */
import { BROADCAST_MAC } from '../../../linux/frames.ts';
import { openPacketSocket, type PacketSocket } from '../../../linux/packet.ts';
import { macOfAddress } from '../../../model/addresses.ts';
import type { Side } from '../../../model/endpoint.ts';
import type { CheckId } from '../catalog.ts';
import { arpFrame, udpFrame } from '../forge.ts';
import { freshToken, judge, type Shot, type Watch, watchActor } from '../means.ts';
import type { Check } from '../report.ts';
import { gatewayOf, type Identity, identityOf, type LocalActor, nicOn, type Stage } from '../stage.ts';
import { measured } from './row.ts';

type SpoofId = Extract<CheckId, 'spoofed-mac' | 'spoofed-ip' | 'arp-spoof'>;

/** Frames of one kind that `own` sends to `to`, pretending to be `claimed`; or telling the truth, when these are the same. */
type Lie = (
  own: Identity,
  claimed: Identity,
  to: Identity,
) => readonly (readonly [what: string, frame: (token: Buffer) => Buffer])[];

const LIES: Readonly<Record<SpoofId, Lie>> = {
  'spoofed-mac': (own, { mac, who }, to) => [
    [`with the MAC address of ${who}`, (token) => udpFrame({ mac, address: own.address }, to, token)],
  ],
  'spoofed-ip': (own, { address, who }, to) => [
    [`with the IP address of ${who}`, (token) => udpFrame({ mac: own.mac, address }, to, token)],
  ],
  'arp-spoof': (own, { address, who }, to) => {
    const claim = { mac: own.mac, address };
    return [
      [
        `asking by ARP as ${who}`,
        (token) => arpFrame(own.mac, BROADCAST_MAC, 'request', claim, to.address, token),
      ],
      [`answering by ARP as ${who}`, (token) => arpFrame(own.mac, to.mac, 'reply', claim, to.address, token)],
      [
        `announcing itself by ARP as ${who}`,
        (token) => arpFrame(own.mac, BROADCAST_MAC, 'request', claim, address, token),
      ],
    ];
  },
};

export const SPOOF_IDS = Object.keys(LIES) as readonly SpoofId[];

export function spoofing(stage: Stage, id: SpoofId): Promise<Check>[] {
  const [b1, b2] = stage.blue;
  return [
    spoofWithin(stage, id, 'internal'),
    spoofWithin(stage, id, 'external'),
    measured({ id, from: stage.red.label, to: b2.label, path: 'internal', expect: 'drop' }, async () => {
      using arrivals = watchActor(b2, 'internal');
      using liar = socketOf(stage.red, 'internal');
      using honest = socketOf(b1, 'internal');
      const [red, blue, to] = [
        identityOf(stage.red, 'internal'),
        identityOf(b1, 'internal'),
        identityOf(b2, 'internal'),
      ];
      return await judge(
        shots(liar, LIES[id](red, blue, to), arrivals),
        shots(honest, LIES[id](blue, blue, to), arrivals),
      );
    }),
  ];
}

function spoofWithin(stage: Stage, id: SpoofId, side: Side): Promise<Check> {
  const [b1, b2] = stage.blue;
  return measured({ id, from: b1.label, to: b2.label, path: side, expect: 'drop' }, async () => {
    using arrivals = watchActor(b2, side);
    using socket = socketOf(b1, side);
    const own = identityOf(b1, side);
    const to = identityOf(b2, side);
    const lies = victims(stage, side).flatMap((victim) => LIES[id](own, victim, to));
    return await judge(shots(socket, lies, arrivals), shots(socket, LIES[id](own, own, to), arrivals));
  });
}

/** Whom it pays to be: the gateway, the neighbour itself, a foreign tenant, and one's own on another host. */
function victims({ blue: [b1, b2], red, peer }: Stage, side: Side): Identity[] {
  const local = [gatewayOf(b1, side), identityOf(b2, side), identityOf(red, side)];
  if ('missing' in peer || side === 'external') return local;
  const { label, address } = peer.blue;
  return [...local, { who: label, address, mac: macOfAddress(address) }];
}

function socketOf(actor: LocalActor, side: Side): PacketSocket {
  return openPacketSocket(actor.netns, nicOn(actor, side).ifName);
}

function shots(socket: PacketSocket, frames: ReturnType<Lie>, arrivals: Watch): Shot[] {
  return frames.map(([what, frame]) => {
    const token = freshToken();
    return { what, token, fire: () => socket.send(frame(token)), seenBy: [arrivals] };
  });
}
