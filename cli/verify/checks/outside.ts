/** Between a container and the world outside: out by NAT, in by published ports. */
import { randomBytes } from 'node:crypto';
import { ETHERNET_BYTES } from '../../../linux/frames.ts';
import type { Netns } from '../../../linux/netns.ts';
import { openPacketSocket } from '../../../linux/packet.ts';
import { askTcp, type Listener, listenTcp, ping } from '../../../linux/probe-sockets.ts';
import type { Ipv4 } from '../../../model/addresses.ts';
import { freshToken, isOutgoing, watch } from '../means.ts';
import type { Check } from '../report.ts';
import type { Publication, Stage } from '../stage.ts';
import { measured, type Timed, untested } from './row.ts';

const ANSWER_MS = 2_000;
const HTTP = 80;
const LOOPBACK = '127.0.0.1' as Ipv4;

export function internetEgress(stage: Stage): Promise<Check>[] {
  const {
    blue: [b1],
    red,
    egress,
  } = stage;
  return [b1, red].map((from) => {
    const row = {
      id: 'internet-egress',
      from: from.label,
      to: egress ?? 'internet',
      path: 'external',
      expect: 'pass',
    } as const;
    if (egress === undefined)
      return Promise.resolve(
        untested(row, 'there is no default gateway and no peer: set network.egressProbe'),
      );
    return measured(row, () => egressOf(stage, from.netns, egress));
  });
}

/** The answer shows that there is a way; what left by the uplink shows who the world thinks it was. */
async function egressOf({ netns, uplink }: Stage, from: Netns, to: Ipv4): Promise<Timed> {
  using leaving = watch(openPacketSocket(netns, uplink.ifName), isOutgoing);
  const token = freshToken();
  const ms = (await ping(from, to, token, ANSWER_MS)) ?? (await connectMs(from, to));
  const frame = leaving.find(token);
  if (frame === undefined) return { got: 'drop', note: `nothing left by ${uplink.ifName}` };
  const source = sourceOf(frame.bytes);
  if (source !== uplink.address)
    return { got: 'error', note: `it left with the address ${source}, not with the node's` };
  return ms === undefined ? { got: 'drop', note: `${to} answers neither echo nor TCP` } : { got: 'pass', ms };
}

/** A host that answers no pings may still accept or refuse a connection. */
async function connectMs(from: Netns, to: Ipv4): Promise<number | undefined> {
  const outcome = await askTcp(from, { address: to, port: HTTP }, '', ANSWER_MS);
  return outcome.state === 'silent' ? undefined : outcome.ms;
}

function sourceOf(frame: Buffer): string {
  return [...frame.subarray(ETHERNET_BYTES + 12, ETHERNET_BYTES + 16)].join('.');
}

/** One after the other: they share the container's port. */
export async function publishedPort(stage: Stage): Promise<Check[]> {
  const { publication, uplink, outside } = stage;
  const row = (from: string, to: string) =>
    ({ id: 'published-port', from, to, path: 'external', expect: 'pass' }) as const;
  if (publication === undefined)
    return [untested(row('node', 'no container'), 'no container of the proof has a published port')];
  const { actor, port } = publication;
  const address = port.hostIp ?? uplink.address;
  const ways: readonly (readonly [string, Netns, Ipv4])[] = [
    ['node', stage.netns, address],
    ...(port.hostIp === null ? [['node, loopback', stage.netns, LOOPBACK] as const] : []),
    ...(outside === undefined ? [] : [['internet', outside, address] as const]),
  ];
  const checks: Check[] = [];
  for (const [from, netns, to] of ways) {
    checks.push(
      await measured(row(from, `${actor.label}:${port.hostPort}`), () =>
        fetchThrough(publication, netns, to),
      ),
    );
  }
  return checks;
}

async function fetchThrough(
  { actor, port, served }: Publication,
  from: Netns,
  address: Ipv4,
): Promise<Timed> {
  const secret = randomBytes(8).toString('hex');
  await using _listener: Listener | undefined = served
    ? undefined
    : await listenTcp(actor.netns, port.containerPort, () => `HTTP/1.0 200 OK\r\n\r\n${secret}\n`);
  const outcome = await askTcp(from, { address, port: port.hostPort }, 'GET / HTTP/1.0\r\n\r\n', ANSWER_MS);
  if (outcome.state !== 'answered')
    return { got: 'drop', note: `${address}:${port.hostPort} is ${outcome.state}` };
  const right = served || outcome.text.includes(secret);
  return right ? { got: 'pass', ms: outcome.ms } : { got: 'error', note: 'somebody else answered' };
}
