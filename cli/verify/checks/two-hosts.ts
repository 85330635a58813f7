/** Between hosts: the tag decides, and only a genuine one opens. Remote containers are known by their answers. */
import { openPacketSocket } from '../../../linux/packet.ts';
import type { Ipv4 } from '../../../model/addresses.ts';
import { SluiceError } from '../../../model/errors.ts';
import { BARE, type Envelope, echoFrame, forgeries, readStamped, type Stamped } from '../forge.ts';
import {
  freshToken,
  isOutgoing,
  judge,
  missingAfter,
  type Shot,
  type Watch,
  watch,
  watchActor,
} from '../means.ts';
import type { Check } from '../report.ts';
import {
  gatewayOf,
  identityOf,
  type LocalActor,
  nicOn,
  type Peer,
  type RemoteActor,
  type Stage,
} from '../stage.ts';
import { reach } from './neighbours.ts';
import { measured } from './row.ts';

export function sameTenantTwoHosts({ blue: [b1], red }: Stage, peer: Peer): Promise<Check>[] {
  const pairs = [
    [b1, peer.blue],
    [red, peer.red],
  ] as const;
  return pairs.map(([from, to]) => {
    const row = {
      id: 'same-tenant-two-hosts',
      from: from.label,
      to: to.label,
      path: 'internal',
      expect: 'pass',
    } as const;
    return measured(row, () => reach(from, to.address));
  });
}

export function otherTenantTwoHosts({ blue: [b1], red }: Stage, peer: Peer): Promise<Check>[] {
  const pairs = [
    [red, peer.blue, b1],
    [b1, peer.red, red],
  ] as const;
  return pairs.map(([from, to, rightful]) => {
    const row = {
      id: 'other-tenant-two-hosts',
      from: from.label,
      to: to.label,
      path: 'internal',
      expect: 'drop',
    } as const;
    return measured(row, async () => {
      using far = watchRemote(to);
      using home = watchActor(from, 'internal');
      using rightfulHome = watchActor(rightful, 'internal');
      return await judge([echo(from, to, [home, ...far.watches])], [echo(rightful, to, [rightfulHome])]);
    });
  });
}

/** An echo as the container itself would send it. */
function echo(from: LocalActor, to: RemoteActor, seenBy: readonly Watch[]): Shot {
  const token = freshToken();
  const frame = echoFrame(identityOf(from, 'internal'), gatewayOf(from, 'internal').mac, to.address, token);
  const fire = (): void => {
    using socket = openPacketSocket(from.netns, nicOn(from, 'internal').ifName);
    socket.send(frame);
  };
  return { what: `an echo from ${from.label}`, token, fire, seenBy };
}

/** Where the remote namespace is at hand, arrivals are seen there, answered or not. */
function watchRemote({ watch: at }: RemoteActor): Disposable & { readonly watches: readonly Watch[] } {
  const watches = at === undefined ? [] : [watch(openPacketSocket(at.netns, at.ifName))];
  return {
    watches,
    [Symbol.dispose]: () => {
      for (const one of watches) one[Symbol.dispose]();
    },
  };
}

/** On the wire, past this node's own fence: forged by whoever holds a cable, and a node that does not stamp. */
interface WireScene {
  readonly seenBy: readonly Watch[];
  readonly stamped: Stamped;
  /** Puts an echo from blue/b1 to the peer onto the wire, as it is. */
  shot(what: string, envelope: Envelope, source?: Ipv4): Shot;
}

export function forgedTag(stage: Stage, peer: Peer): Promise<Check>[] {
  return [
    onWire('forged-tag', stage, peer, ({ shot, stamped }) =>
      judge(
        forgeries(stamped.genuine).map(({ what, envelope }) => shot(`a tag ${what}`, envelope)),
        [shot('the genuine tag', stamped.genuine)],
      ),
    ),
  ];
}

export function untaggedFromWire(stage: Stage, peer: Peer): Promise<Check>[] {
  return [
    onWire('untagged-from-wire', stage, peer, ({ shot, stamped }) =>
      judge(
        [
          shot('no tag', BARE),
          shot("no tag, from the node's own address", BARE, stage.uplink.address),
          shot('four no-operations in the place of the tag', { ...BARE, options: Buffer.alloc(4, 1) }),
        ],
        [shot('the genuine tag', stamped.genuine)],
      ),
    ),
  ];
}

function onWire(
  id: 'forged-tag' | 'untagged-from-wire',
  stage: Stage,
  peer: Peer,
  work: (scene: WireScene) => ReturnType<typeof judge>,
): Promise<Check> {
  const [b1] = stage.blue;
  return measured({ id, from: b1.label, to: peer.blue.label, path: 'wire', expect: 'drop' }, async () => {
    using home = watchActor(b1, 'internal');
    using uplinkIn = watch(openPacketSocket(stage.netns, stage.uplink.ifName));
    using far = watchRemote(peer.blue);
    using wire = openPacketSocket(stage.netns, stage.uplink.ifName, { bypassQdisc: true });
    const stamped = await captureStamped(stage, peer.blue);
    // Answers to b1 arrive stamped; answers to the node itself show at the uplink.
    const atUplink = { find: (token: Buffer) => untagged(uplinkIn, token) };
    return await work({
      seenBy: [home],
      stamped,
      shot(what, envelope, source) {
        const token = freshToken();
        const from = { mac: stamped.source, address: source ?? identityOf(b1, 'internal').address };
        const frame = echoFrame(from, stamped.nextHop, peer.blue.address, token, envelope);
        return { what, token, fire: () => wire.send(frame), seenBy: [home, ...far.watches, atUplink] };
      },
    });
  });
}

function untagged(at: Watch, token: Buffer): ReturnType<Watch['find']> {
  const frame = at.find(token);
  return frame !== undefined && readStamped(frame.bytes) === undefined ? frame : undefined;
}

const CAPTURE_MS = 2_000;

/** Lets b1 send a packet to the peer and catches it with its tag on, behind the programs of the uplink. */
async function captureStamped({ netns, uplink, blue: [b1] }: Stage, to: RemoteActor): Promise<Stamped> {
  using leaving = watch(openPacketSocket(netns, uplink.ifName), isOutgoing);
  const shot = echo(b1, to, [leaving]);
  shot.fire();
  await missingAfter([shot], CAPTURE_MS);
  const frame = leaving.find(shot.token);
  const stamped = frame && readStamped(frame.bytes);
  if (stamped !== undefined) return stamped;
  const what = frame === undefined ? 'no packet' : 'a packet without a tag';
  throw new SluiceError(
    'check_failed',
    `${what} of ${b1.label} left by ${uplink.ifName}`,
    'see `sluice drops`',
  );
}
