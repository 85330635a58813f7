/** Packets that no fence lets through, sent while something changes, and a look at whether any of them arrived. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabContainer } from '../../lab/lab.ts';
import { PROTOCOL } from '../../linux/frames.ts';
import { openNetns } from '../../linux/netns.ts';
import { openPacketSocket, type SeenFrame } from '../../linux/packet.ts';
import { sendUdp } from '../../linux/probe-sockets.ts';

const FLOOD_PORT = 4_444;
const FORBIDDEN = Buffer.from('forbidden');
/** In an Ethernet frame with an IPv4 packet. */
const PROTOCOL_AT = 23;

/** As fast as it goes without starving the rest. @returns how many packets were sent */
export async function flood(from: LabContainer, to: LabContainer, signal: AbortSignal): Promise<number> {
  using netns = openNetns(from.netns);
  let sent = 0;
  while (!signal.aborted) {
    for (let burst = 0; burst < 10; burst++)
      if (sendUdp(netns, { address: to.internal, port: FLOOD_PORT }, FORBIDDEN)) sent += 1;
    await sleep(5);
  }
  return sent;
}

/** A gateway that has no way at the moment quotes the packet to its sender: that is ICMP, and no arrival. */
function isForbidden({ bytes, outgoing }: SeenFrame): boolean {
  return !outgoing && bytes[PROTOCOL_AT] === PROTOCOL.udp && bytes.includes(FORBIDDEN);
}

/** What comes to the containers' own interfaces, before anybody there could throw it away. */
export function watchFor(containers: readonly LabContainer[]): Disposable & { arrived(): number } {
  const opened = new DisposableStack();
  const sockets = containers.map(({ netns }) =>
    opened.use(openPacketSocket(opened.use(openNetns(netns)), 'eth1')),
  );
  let count = 0;
  return {
    arrived(): number {
      for (const socket of sockets) count += socket.take().filter(isForbidden).length;
      return count;
    },
    [Symbol.dispose]: () => opened.dispose(),
  };
}
