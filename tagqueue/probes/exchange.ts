/** One node's probes to one peer: what is sent, in which order, and what is seen of it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from '../../linux/netns.ts';
import { openPacketSocket, type PacketSocket } from '../../linux/packet.ts';
import { type Channel, type Guise, ping } from '../../linux/probe-sockets.ts';
import type { Ipv4, Mac } from '../../model/addresses.ts';
import type { Carrier } from '../../model/carrier.ts';
import { encodeProbe, FENCE_PROBE_PORT, FORBIDDEN_KINDS, type ProbeKind } from '../../model/fence-probe.ts';
import type { IfName } from '../../model/names.ts';
import { CRAFTED_CARRIERS, canMake, craftProbe, type ProbeKeys, type ProbePath } from './craft.ts';
import type { Echoes, Shot } from './echoes.ts';
import type { Observed } from './judge.ts';

/** What a node sends probes with. */
export interface Means {
  readonly netns: Netns;
  readonly uplink: IfName;
  readonly uplinkMac: Mac;
  /** In bytes. */
  readonly uplinkMtu: number;
  readonly guise: Guise;
  /** Through this node's own fence, as any packet goes. */
  readonly channel: Channel;
  readonly echoes: Echoes;
  readonly keys: ProbeKeys;
  /** This node's uplink address. */
  readonly host: Ipv4;
  readonly vxlanPort: number;
  /** What the cluster sends. */
  readonly carrier: Carrier;
}

export interface Target {
  /** First address of the peer's internal block. */
  readonly gateway: Ipv4;
  /** Of the peer's uplink. */
  readonly host: Ipv4;
  /** Of the next hop towards it, once the kernel knows it. */
  nextHopMac(): Promise<Mac | undefined>;
}

/** A single lost packet is no finding. */
const TRIES = 3;
const ANSWER_MS = 400;
/** What was sent before a probe that has been answered, and is still under way, gets this long. */
const GRACE_MS = 100;

/**
 * First a valid probe through this node's own programs, which also makes the kernel find the next hop; then the
 * wrong ones, past them; then a right one by the same means.
 */
export async function probePeer(means: Means, target: Target): Promise<Observed> {
  const shots: Shot[] = [];
  const shoot = (kind: ProbeKind): Shot => {
    const shot = means.echoes.expect(kind, target.gateway);
    shots.push(shot);
    return shot;
  };
  try {
    const valid = await tried(() => throughFence(means, target, shoot('valid')));
    const control = await crafted(means, target, shoot);
    await sleep(GRACE_MS);
    const missed = valid ? { through: true, host: true } : await look(means, target);
    return {
      sent: new Set(shots.map(({ kind }) => kind)),
      arrived: new Set([
        ...(valid ? (['valid'] as const) : []),
        ...shots
          .filter(({ kind, receivedAt }) => kind !== 'valid' && receivedAt !== undefined)
          .map(({ kind }) => kind),
      ]),
      control,
      ...missed,
    };
  } finally {
    means.echoes.forget(shots);
  }
}

async function tried(once: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < TRIES; i++) if (await once()) return true;
  return false;
}

function throughFence({ channel }: Means, { gateway }: Target, shot: Shot): Promise<boolean> {
  channel.send(messageOf(shot), { address: gateway, port: FENCE_PROBE_PORT });
  return shot.answered(ANSWER_MS);
}

/** @returns whether the right one of them was answered */
async function crafted(means: Means, target: Target, shoot: (kind: ProbeKind) => Shot): Promise<boolean> {
  const nextHopMac = await target.nextHopMac();
  if (nextHopMac === undefined) return false;
  using wire = openWire(means);
  const path = pathTo(means, target, nextHopMac);
  // Every carrier is accepted, whatever the cluster sends: each may be where the hole is.
  for (const carrier of CRAFTED_CARRIERS) {
    for (const kind of FORBIDDEN_KINDS) {
      if (canMake(kind, means.keys)) sendCrafted(wire, means.keys, path, carrier, shoot(kind));
    }
  }
  // Awaited here: the wire is closed on return.
  return await tried(() => {
    const control = shoot('valid');
    sendCrafted(wire, means.keys, path, means.carrier, control);
    return control.answered(ANSWER_MS);
  });
}

function openWire({ netns, uplink }: Means): PacketSocket {
  return openPacketSocket(netns, uplink, { bypassQdisc: true, sendOnly: true });
}

function pathTo({ guise, uplinkMac, host, vxlanPort }: Means, target: Target, nextHopMac: Mac): ProbePath {
  return {
    ...{ source: guise.source, destination: target.gateway, sourceMac: uplinkMac, nextHopMac },
    ...{ hosts: { source: host, destination: target.host }, vxlanPort },
  };
}

function sendCrafted(
  wire: PacketSocket,
  keys: ProbeKeys,
  path: ProbePath,
  carrier: Carrier,
  shot: Shot,
): void {
  const frame = craftProbe(shot.kind, carrier, path, keys, messageOf(shot));
  if (frame !== undefined) wire.send(frame);
}

function messageOf({ kind, id }: Shot): Buffer {
  return encodeProbe({ type: 'probe', kind, id, receivedAt: 0n });
}

/**
 * One valid message by a carrier of our choice, whatever the cluster sends.
 * @returns false when the next hop is not known
 */
export async function sendBy(
  carrier: Carrier,
  means: Means,
  target: Target,
  message: Buffer,
): Promise<boolean> {
  const nextHopMac = await target.nextHopMac();
  if (nextHopMac === undefined) return false;
  using wire = openWire(means);
  const frame = craftProbe('valid', carrier, pathTo(means, target, nextHopMac), means.keys, message);
  if (frame !== undefined) wire.send(frame);
  return true;
}

/** Without an answer: is it the peer's tagqueue, the fence, or the peer? */
async function look(
  { netns, guise }: Means,
  { gateway, host }: Target,
): Promise<{ through: boolean; host: boolean }> {
  const ask = async (to: Ipv4, as?: Guise): Promise<boolean> =>
    (await ping(netns, to, Buffer.from(`sluice ${crypto.randomUUID()}`), ANSWER_MS, as)) !== undefined;
  const [through, alive] = await Promise.all([ask(gateway, guise), ask(host)]);
  return { through, host: alive };
}
