/** A container and its host: nothing of the host can be reached, whatever address it is called by. */
import type { Netns } from '../../../linux/netns.ts';
import { openPacketSocket } from '../../../linux/packet.ts';
import {
  askTcp,
  type Destination,
  listenTcp,
  listenUdp,
  ping,
  sendUdp,
  type UdpListener,
} from '../../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../../model/addresses.ts';
import { Side } from '../../../model/endpoint.ts';
import { udpFrame } from '../forge.ts';
import { type Finding, freshToken, isOutgoing, judge, type Shot, type Watch, watch } from '../means.ts';
import type { Check } from '../report.ts';
import { gatewayOf, identityOf, type LocalActor, nicOn, type Stage } from '../stage.ts';
import { measured } from './row.ts';

const LOOPBACK = '127.0.0.1' as Ipv4;
/** Where clouds keep credentials of the machine. */
const METADATA = '169.254.169.254' as Ipv4;
/** A connection that is dropped gives no sign: this long is waited for one. */
const SILENT_MS = 400;
/** One that is to be answered may take longer: a control that fails says nothing of the fence. */
const ANSWERS_MS = 2_000;

export function hostUnreachable(stage: Stage): Promise<Check>[] {
  return [stage.blue[0], stage.red].map((from) => {
    const row = {
      id: 'host-unreachable',
      from: from.label,
      to: 'host',
      path: 'host',
      expect: 'drop',
    } as const;
    return measured(row, () => tryHost(stage, from));
  });
}

async function tryHost(stage: Stage, from: LocalActor): Promise<Finding> {
  const answer = (): string => 'here I am';
  await using tcp = await listenTcp(stage.netns, 0, answer);
  await using udp = await listenUdp(stage.netns, 0);
  using leaving = watch(openPacketSocket(stage.netns, stage.uplink.ifName), isOutgoing);
  const addresses = [...Side.options.map((side) => gatewayOf(from, side).address), stage.uplink.address];

  const unlike = await controls(stage, from, { address: stage.uplink.address, port: tcp.port });
  if (unlike !== undefined) return { got: 'error', note: unlike };
  const reached = [
    ...(await connections(from.netns, [
      ...addresses.map((address) => ({ address, port: tcp.port })),
      ...stage.services,
    ])),
    ...(await pings(from.netns, addresses)),
  ];
  if (reached.length > 0) return { got: 'pass', note: `reached: ${reached.join('; ')}` };
  return await rawShots(stage, from, addresses, udp, leaving);
}

/** The means must work: the host's listener answers the host itself, and the container can connect to somebody. */
async function controls(stage: Stage, from: LocalActor, listener: Destination): Promise<string | undefined> {
  const own = await askTcp(stage.netns, listener, '?', ANSWERS_MS);
  if (own.state !== 'answered') return `the host cannot reach its own listener: ${own.state}`;
  const friend = stage.blue.find((actor) => actor !== from) ?? stage.blue[1];
  const rightful = from === stage.red ? stage.blue[0] : from;
  await using there = await listenTcp(friend.netns, 0, () => 'here I am');
  const outcome = await askTcp(
    rightful.netns,
    { address: nicOn(friend, 'internal').address, port: there.port },
    '?',
    ANSWERS_MS,
  );
  return outcome.state === 'answered'
    ? undefined
    : `${rightful.label} cannot connect to ${friend.label}: ${outcome.state}`;
}

async function connections(from: Netns, to: readonly Destination[]): Promise<string[]> {
  const outcomes = await Promise.all(to.map((one) => askTcp(from, one, '?', SILENT_MS)));
  return to.flatMap(({ address, port }, index) =>
    outcomes[index]?.state === 'silent' ? [] : [`TCP ${address}:${port}`],
  );
}

async function pings(from: Netns, to: readonly Ipv4[]): Promise<string[]> {
  const answers = await Promise.all(to.map((address) => ping(from, address, freshToken(), SILENT_MS)));
  return to.flatMap((address, index) => (answers[index] === undefined ? [] : [`echo ${address}`]));
}

/** Frames that the container's own routing would never send: to the host's loopback, past its gateway. */
async function rawShots(
  stage: Stage,
  from: LocalActor,
  addresses: readonly Ipv4[],
  udp: UdpListener,
  leaving: Watch,
): Promise<Finding> {
  const sides = Side.options.map((side) => ({
    side,
    socket: openPacketSocket(from.netns, nicOn(from, side).ifName),
  }));
  // Received by the host's own program, or forwarded by the host.
  const atHost = {
    find: (token: Buffer) => (udp.received(token) ? { bytes: token, outgoing: false } : undefined),
  };
  try {
    const forbidden = sides.flatMap(({ side, socket }) =>
      [...addresses, LOOPBACK, METADATA].map((address) =>
        raw(from, side, address, udp.port, (frame) => socket.send(frame), [atHost, leaving]),
      ),
    );
    const token = freshToken();
    const control: Shot = {
      ...{ what: "the host's own datagram", token, seenBy: [atHost] },
      fire: () => void sendUdp(stage.netns, { address: stage.uplink.address, port: udp.port }, token),
    };
    const external = sides.find(({ side }) => side === 'external');
    const out =
      stage.egress === undefined || external === undefined
        ? []
        : [raw(from, 'external', stage.egress, 9, (frame) => external.socket.send(frame), [leaving])];
    return await judge(forbidden, [control, ...out]);
  } finally {
    for (const { socket } of sides) socket[Symbol.dispose]();
  }
}

function raw(
  from: LocalActor,
  side: Side,
  address: Ipv4,
  port: number,
  send: (frame: Buffer) => void,
  seenBy: Shot['seenBy'],
): Shot {
  const token = freshToken();
  const frame = udpFrame(identityOf(from, side), { mac: gatewayOf(from, side).mac, address }, token, port);
  return { what: `UDP to ${address} by the ${side} side`, token, fire: () => send(frame), seenBy };
}
