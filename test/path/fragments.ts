/** What is longer than any packet: whole for its own tenant, nothing for another. */
import { randomBytes } from 'node:crypto';
import { openNetns } from '../../linux/netns.ts';
import type { SeenFrame } from '../../linux/packet.ts';
import { listenUdp, sendUdp } from '../../linux/probe-sockets.ts';
import { PROTOCOL } from '../frames.ts';
import { forgetPaths, type Suite, say } from './scene.ts';
import { sendSegments, soon } from './udp.ts';

const DATAGRAMS = 10;
const MORE_OR_OFFSET = 0x3fff;

/** A part of a datagram that went through the router, outside the tunnel. */
const isPiece = ({ bytes }: SeenFrame): boolean =>
  bytes[23] === PROTOCOL.udp && (bytes.readUInt16BE(20) & MORE_OR_OFFSET) !== 0;

export const longDatagrams: Suite = (stage) => {
  const { carrier, scene } = stage;
  beforeEach(() => forgetPaths(scene()));

  it.each([4_000, 30_000])('datagrams of %i bytes arrive whole, in pieces', async (bytes) => {
    const { near, far } = scene();
    using netns = openNetns(far.container.netns);
    using from = openNetns(near.container.netns);
    await using listener = await listenUdp(netns, 0);
    for (const { port } of [near, far]) port.take();
    let arrived = 0;
    for (let sent = 0; sent < DATAGRAMS; sent++) {
      const datagram = randomBytes(bytes);
      expect(sendUdp(from, { address: far.address, port: listener.port }, datagram)).toBe(true);
      if (await soon(() => listener.received(datagram))) arrived += 1;
    }
    const [came, went] = [near, far].map(({ port }) => port.take().filter(isPiece).length) as [
      number,
      number,
    ];
    const cut = carrier === 'option' ? `; ${came} pieces became ${went}` : '';
    say(stage, `datagrams of ${bytes} bytes`, `tried ${DATAGRAMS}, arrived ${arrived}${cut}`);
    if (carrier === 'option') expect(went).toBeGreaterThan(came);
    // No router can cut the tunnel's packets: the first datagram is given for the knowledge how long they may be.
    expect(arrived).toBe(carrier === 'option' ? DATAGRAMS : DATAGRAMS - 1);
  });

  it("another tenant's do not arrive, whole or in pieces", async () => {
    const { near, far, stranger } = scene();
    using netns = openNetns(far.container.netns);
    using from = openNetns(near.container.netns);
    using foreign = openNetns(stranger.netns);
    await using listener = await listenUdp(netns, 0);
    const to = { address: far.address, port: listener.port };
    const signature = randomBytes(16);
    const theirs = Buffer.alloc(4_000, signature);
    far.socket.take();
    for (let sent = 0; sent < DATAGRAMS; sent++) expect(sendUdp(foreign, to, theirs)).toBe(true);
    // Of the tunnel's, the first of ours may be given for the path's MTU.
    const ours = [randomBytes(4_000), randomBytes(4_000)];
    for (const one of ours) {
      sendUdp(from, to, one);
      await soon(() => listener.received(one));
    }
    expect(listener.received(ours[1]!)).toBe(true);
    const pieces = far.socket.take().filter(({ bytes }) => bytes.includes(signature)).length;
    say(stage, "another tenant's datagrams", `tried ${DATAGRAMS}, arrived ${pieces}`);
    expect([pieces, listener.received(theirs)]).toEqual([0, false]);
  });

  it('datagrams that are handed over in one piece arrive one by one', async () => {
    const { near, far } = scene();
    const { tried, arrived } = await sendSegments(near.container.netns, far.container.netns, far.address);
    say(stage, 'datagrams in one piece', `tried ${tried}, arrived ${arrived}`);
    expect(arrived).toBe(tried);
  });
};
