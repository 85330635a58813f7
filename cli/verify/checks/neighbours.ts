/** On one host: a tenant reaches itself, and nobody else. */

import { BROADCAST_MAC } from '../../../linux/frames.ts';
import { openPacketSocket, type PacketSocket } from '../../../linux/packet.ts';
import { ping } from '../../../linux/probe-sockets.ts';
import { Side } from '../../../model/endpoint.ts';
import { ALL_HOSTS, arpFrame, EVERYBODY, udpFrame } from '../forge.ts';
import { freshToken, judge, type Shot, type Watch, watchActor } from '../means.ts';
import type { Check } from '../report.ts';
import { type Identity, identityOf, type LocalActor, nicOn, type Stage } from '../stage.ts';
import { measured, type Timed } from './row.ts';

const REACH_MS = 2_000;

export function sameTenantSameHost({ blue: [b1, b2] }: Stage): Promise<Check>[] {
  const row = {
    id: 'same-tenant-same-host',
    from: b1.label,
    to: b2.label,
    path: 'internal',
    expect: 'pass',
  } as const;
  return [measured(row, () => reach(b1, nicOn(b2, 'internal').address))];
}

/** One ping through the container's own network stack. */
export async function reach(from: LocalActor, to: Identity['address']): Promise<Timed> {
  const ms = await ping(from.netns, to, freshToken(), REACH_MS);
  return ms === undefined
    ? { got: 'drop', note: `${to} did not answer within ${REACH_MS} ms` }
    : { got: 'pass', ms };
}

/** Both sides of the container: the fence stands on the internet's side as well. */
export function otherTenantSameHost({ blue: [b1, b2], red }: Stage): Promise<Check>[] {
  return Side.options.map((side) => {
    const row = {
      id: 'other-tenant-same-host',
      from: red.label,
      to: b1.label,
      path: side,
      expect: 'drop',
    } as const;
    return measured(row, async () => {
      using arrivals = watchActor(b1, side);
      using foreign = openPacketSocket(red.netns, nicOn(red, side).ifName);
      using own = openPacketSocket(b2.netns, nicOn(b2, side).ifName);
      const to = identityOf(b1, side);
      return await judge(
        everyKind(foreign, identityOf(red, side), to, arrivals),
        everyKind(own, identityOf(b2, side), to, arrivals),
      );
    });
  });
}

/** Every kind of frame that one container may send to another, straight at it and to everybody. */
function everyKind(socket: PacketSocket, from: Identity, to: Identity, arrivals: Watch): Shot[] {
  const shot = (what: string, frame: (token: Buffer) => Buffer): Shot => {
    const token = freshToken();
    return {
      what: `${what} from ${from.who}`,
      token,
      fire: () => socket.send(frame(token)),
      seenBy: [arrivals],
    };
  };
  return [
    shot('unicast', (token) => udpFrame(from, to, token)),
    shot('broadcast', (token) => udpFrame(from, EVERYBODY, token)),
    shot('multicast', (token) => udpFrame(from, ALL_HOSTS, token)),
    shot('ARP request', (token) => arpFrame(from.mac, BROADCAST_MAC, 'request', from, to.address, token)),
    shot('ARP reply', (token) => arpFrame(from.mac, to.mac, 'reply', from, to.address, token)),
  ];
}
