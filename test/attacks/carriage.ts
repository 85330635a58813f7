/** How packets between nodes travel in a lab: chosen by the operator's command, and seen on the wire. */
import type { Lab } from '../../lab/lab.ts';
import type { Carrier } from '../../model/carrier.ts';
import { TAG_OPTION } from '../../tagqueue/options.ts';
import { PROTOCOL } from '../frames.ts';
import { greeting } from './traffic.ts';
import type { Member, NodeLetter, World } from './world.ts';

/** Of network.vxlanPort, which the labs leave as it is. */
export const TUNNEL_PORT = 4789;
const PROTOCOL_AT = 14 + 9;
const BEHIND_HEADER = 14 + 20;
const TUNNEL_PORT_AT = BEHIND_HEADER + 2;
const PATIENCE_MS = 10_000;
const GREETING_MS = 200;

/** @throws Error when the cluster does not take it */
export async function useCarrier(lab: Lab, carrier: Carrier): Promise<void> {
  const { code, stdout, stderr } = await lab.node('a').sluice(['cluster', 'set', '--carrier', carrier]);
  if (code !== 0) throw new Error(`sluice cluster set --carrier ${carrier}: ${stdout}${stderr}`);
}

/** @returns undefined for a packet that carries no tag at all */
export function carrierOf(frame: Buffer): Carrier | undefined {
  if (frame[PROTOCOL_AT] === PROTOCOL.udp && frame.readUInt16BE(TUNNEL_PORT_AT) === TUNNEL_PORT)
    return 'vxlan';
  return frame[BEHIND_HEADER] === TAG_OPTION ? 'option' : undefined;
}

/** Both nodes have heard of the carrier when their packets travel by it. @throws Error when they go on otherwise */
export async function waitForCarrier(world: World): Promise<void> {
  const { red } = world;
  await waitAt(world, 'a', red.a1, red.b1);
  await waitAt(world, 'b', red.b1, red.a1);
}

async function waitAt(
  { uplinks, variant }: World,
  node: NodeLetter,
  from: Member,
  to: Member,
): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  let last: Carrier | 'nothing' | undefined = 'nothing';
  while (performance.now() < deadline) {
    const one = greeting(from.internal, to.internal);
    one.send();
    const seen = await uplinks[node].next(
      ({ bytes, outgoing }) => outgoing && bytes.includes(one.marker),
      GREETING_MS,
    );
    last = seen === undefined ? 'nothing' : carrierOf(seen.bytes);
    if (last === variant.carrier) return;
  }
  throw new Error(`node ${node} sends ${last}, not by ${variant.carrier}`);
}
