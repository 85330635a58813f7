/** A hop that is narrower than the uplinks: what is too long for it is told, believed and kept to. */
import { randomBytes } from 'node:crypto';
import { ROUTER } from '../../lab/topology.ts';
import { openNetns } from '../../linux/netns.ts';
import { listenUdp } from '../../linux/probe-sockets.ts';
import { eventually } from '../fence/wire.ts';
import { type End, forgetPaths, inside, MIDDLE_MTU, ROOM, type Suite, say } from './scene.ts';
import { openUncut } from './udp.ts';

const BYTES = 1_000_000;
const TCP_PORT = 5_001;
const PING_HEADERS = 28;
const UDP_HEADERS = 28;
/** A container's MTU on uplinks of 1500 bytes. */
const CONTAINER_MTU = 1_450;

/** @returns how many bytes of TCP have come to the other container */
async function sendTcp(from: End, to: End): Promise<number> {
  const listening = inside(to, 'timeout', '20', 'sh', '-c', `nc -l -p ${TCP_PORT} | wc -c`);
  await eventually('it listens', async () =>
    (await inside(to, 'ss', '-Hltn', 'sport', '=', `:${TCP_PORT}`)).stdout !== '' ? true : undefined,
  );
  const sending = `head -c ${BYTES} /dev/zero | nc -N ${to.address} ${TCP_PORT}`;
  await inside(from, 'timeout', '15', 'sh', '-c', sending);
  return Number((await listening).stdout);
}

/** What the container's kernel holds to be the path's MTU. */
async function remembered(from: End, to: End): Promise<number | undefined> {
  const { stdout } = await inside(from, 'ip', 'route', 'get', to.address);
  const mtu = /mtu (\d+)/.exec(stdout)?.[1];
  return mtu === undefined ? undefined : Number(mtu);
}

export const narrowHop: Suite = (stage) => {
  const { carrier, scene } = stage;
  const expected = MIDDLE_MTU - ROOM[carrier];
  beforeEach(() => forgetPaths(scene()));

  it('a router that cannot pass a packet is heard, and its word is remembered', async () => {
    const { near, far } = scene();
    const ask = (bytes: number): ReturnType<typeof inside> =>
      inside(near, 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', String(bytes - PING_HEADERS), far.address);
    const told = /From (\S+) .*mtu = (\d+)/.exec((await ask(CONTAINER_MTU)).stdout);
    const kept = await remembered(near, far);
    say(stage, 'path MTU, ping', `${told?.[2]} from ${told?.[1]}, remembered ${kept}`);
    expect([told?.[1], told?.[2], kept]).toEqual([ROUTER, String(expected), expected]);
    expect((await ask(expected)).code).toBe(0);
    await forgetPaths(scene());
    expect((await ask(expected + 1)).code).toBe(1);
  });

  it('a megabyte of TCP passes in either direction, and the senders know why', async () => {
    const { near, far } = scene();
    const there = { arrived: await sendTcp(near, far), kept: await remembered(near, far) };
    // Who knows the path tells the other side how long its segments may be.
    await forgetPaths(scene());
    const back = { arrived: await sendTcp(far, near), kept: await remembered(far, near) };
    const both = [there, back].map(({ arrived, kept }) => `${arrived} of ${BYTES} bytes, remembered ${kept}`);
    say(stage, 'path MTU, TCP', both.join('; '));
    expect([there, back]).toEqual(Array(2).fill({ arrived: BYTES, kept: expected }));
  });

  it('a datagram that must not be cut is refused where it is sent, once the path is known', async () => {
    const { near, far } = scene();
    using netns = openNetns(far.container.netns);
    await using listener = await listenUdp(netns, 0);
    using sender = openUncut(near.container.netns);
    const to = { address: far.address, port: listener.port };
    const [unheard, longest] = [
      randomBytes(CONTAINER_MTU - UDP_HEADERS),
      randomBytes(expected - UDP_HEADERS),
    ];
    const first = sender.send(to, unheard);
    await eventually('the path is known', async () =>
      (await remembered(near, far)) === expected ? true : undefined,
    );
    const second = sender.send(to, Buffer.alloc(longest.length + 1));
    const third = sender.send(to, longest);
    await eventually('the longest arrives', () => (listener.received(longest) ? true : undefined));
    say(
      stage,
      'path MTU, UDP',
      `${CONTAINER_MTU}: ${first}, ${expected + 1}: ${second}, ${expected}: ${third}`,
    );
    expect([first, second, third]).toEqual(['sent', 'EMSGSIZE', 'sent']);
    expect(listener.received(unheard)).toBe(false);
  });
};
