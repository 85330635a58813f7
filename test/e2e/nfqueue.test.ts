/** Packet queues of the kernel: what is read of a packet, what a verdict does, and that silence lets nothing through. */
import { setTimeout as sleep } from 'node:timers/promises';
import { applyChains, chainsStand, type OwnChain, removeChains } from '../../linux/iptables.ts';
import { setLinkUp } from '../../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { createNetns, inNetns, type Netns } from '../../linux/netns.ts';
import { type Nfqueue, openNfqueue, queueCounters } from '../../linux/nfqueue.ts';
import { NF_ACCEPT, NF_DROP } from '../../linux/nfqueue-message.ts';
import { listenUdp, sendUdp, type UdpListener } from '../../linux/probe-sockets.ts';
import { run } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';

const QUEUE = 7;
const OPTIONS = { copyBytes: 0xffff, maxLength: 16, gso: false, receiveBufferBytes: 1 << 20, idleMs: 50 };
const LOOPBACK = '127.0.0.1' as Ipv4;
/** Of no queue. */
const MARKER_PORT = 40_001;
const PORT = 40_000;

let netns: Netns;
let inside: { through: string[] };
let chain: OwnChain;
let receiver: UdpListener;
let marker: UdpListener;
let sent: string[] = [];
let markers = 0;

beforeEach(async () => {
  netns = createNetns();
  inside = { through: ['nsenter', `--net=${netns.path}`, '--'] };
  const route = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
  await setLinkUp(route, 1);
  route.close();
  receiver = await listenUdp(netns, PORT);
  marker = await listenUdp(netns, MARKER_PORT);
  sent = [];
  chain = {
    table: 'mangle',
    hook: 'POSTROUTING',
    name: 'SLUICE-test',
    rules: [`-p udp --dport ${PORT} -j NFQUEUE --queue-num ${QUEUE}`],
  };
  await applyChains([chain], inside);
});
afterEach(async () => {
  await receiver[Symbol.asyncDispose]();
  await marker[Symbol.asyncDispose]();
  netns[Symbol.dispose]();
});

const open = (options = {}): Nfqueue => inNetns(netns, () => openNfqueue(QUEUE, { ...OPTIONS, ...options }));

function send(...texts: string[]): void {
  sent.push(...texts);
  for (const text of texts) sendUdp(netns, { address: LOOPBACK, port: PORT }, Buffer.from(`<${text}>`));
}

/** Loopback keeps the order: what was let through has come when a packet that nobody queues has. */
async function arrived(): Promise<string[]> {
  markers += 1;
  const last = Buffer.from(`<${markers}>`);
  sendUdp(netns, { address: LOOPBACK, port: MARKER_PORT }, last);
  const deadline = performance.now() + 2_000;
  while (!marker.received(last) && performance.now() < deadline) await sleep(1);
  expect(marker.received(last)).toBe(true);
  return sent.filter((text) => receiver.received(Buffer.from(`<${text}>`)));
}

it('shows a packet whole, and lets it through when told to', async () => {
  using queue = open();
  send('hello');
  const seen: object[] = [];
  queue.receive((packet) => {
    const text = Buffer.from(queue.bytes.buffer, packet.at + 28, packet.length - 28).toString();
    const { protocol, hook, mark, outdev, checksumNotReady } = packet;
    seen.push({ text, protocol, hook, mark, outdev, checksumNotReady });
    queue.decide(packet.id, NF_ACCEPT);
  });
  expect(seen).toEqual([
    { text: '<hello>', protocol: 0x0800, hook: 4, mark: 0, outdev: 1, checksumNotReady: false },
  ]);
  expect(await arrived()).toEqual(['hello']);
});

it('drops, and accepts several with one verdict', async () => {
  using queue = open();
  send('one', 'two', 'three', 'four');
  const ids: number[] = [];
  while (ids.length < 4)
    queue.receive(({ id }) => {
      ids.push(id);
    });
  queue.decide(ids[1]!, NF_DROP);
  queue.acceptUpTo(ids[2]!);
  queue.flush();
  expect(await arrived()).toEqual(['one', 'three']);
  queue.decide(ids[3]!, NF_ACCEPT);
  queue.decide(ids[3]!, NF_ACCEPT);
  queue.flush();
  expect(await arrived()).toEqual(['one', 'three', 'four']);
  expect(queue.receive(() => undefined)).toBe(0);
  expect(queue.faults).toEqual({ overruns: 0, refusedVerdicts: 1 });
});

it('puts a changed packet and a mark in the place of the old', async () => {
  const marked: OwnChain = {
    table: 'mangle',
    hook: 'INPUT',
    name: 'SLUICE-mark',
    rules: ['-p udp -m mark --mark 0x12300000/0xfff00000 -j ACCEPT', `-p udp --dport ${PORT} -j DROP`],
  };
  await applyChains([marked], inside);
  using queue = open();
  send('unmarked', 'marked');
  let count = 0;
  while (count < 2)
    queue.receive((packet) => {
      count += 1;
      // Without an UDP checksum nobody misses its correction.
      queue.bytes.setUint16(packet.at + 26, 0);
      queue.bytes.setUint8(packet.at + 29, 'M'.charCodeAt(0));
      queue.acceptMangled(packet.id, packet.at, packet.length, count === 1 ? 1 : 0x1230_0001);
    });
  expect(await arrived()).toEqual([]);
  expect(receiver.received(Buffer.from('<Marked>'))).toBe(true);
  expect(receiver.received(Buffer.from('<Mnmarked>'))).toBe(false);
});

it('lets nothing through while nobody listens, nor when the queue is full', async () => {
  send('nobody');
  expect(await arrived()).toEqual([]);

  const full = Array.from({ length: 20 }, (_, index) => `${index}`);
  using _queue = open();
  send(...full);
  expect(await arrived()).toEqual([]);
  const [counters] = inNetns(netns, queueCounters);
  expect(counters).toMatchObject({ queue: QUEUE, waiting: 16, dropped: 4 });
});

it('survives a full socket buffer and counts it', async () => {
  using queue = open({ maxLength: 4_096, receiveBufferBytes: 8_192 });
  const texts = Array.from({ length: 64 }, () => 'x'.repeat(1_000));
  send(...texts);
  let packets = 0;
  for (let idle = 0; idle < 2; ) {
    const count = queue.receive((packet) => queue.decide(packet.id, NF_ACCEPT));
    packets += count;
    if (count === 0) idle += 1;
  }
  const [counters] = inNetns(netns, queueCounters);
  expect(queue.faults.overruns).toBeGreaterThan(0);
  expect(packets + counters!.userDropped).toBe(64);
  send('still there');
  queue.receive((packet) => queue.decide(packet.id, NF_ACCEPT));
  expect((await arrived()).at(-1)).toBe('still there');
});

it('refuses a queue that another socket has', () => {
  using _ = open();
  expect(() => open()).toThrow('belongs to another process');
});

it('keeps own chains first, notices their loss, and takes them away without a trace', async () => {
  const rules = async (): Promise<string> =>
    (await run(['nsenter', `--net=${netns.path}`, '--', 'iptables-nft-save', '-t', 'mangle'])).stdout;
  expect(await chainsStand([chain], inside)).toBe(true);
  await run([
    'nsenter',
    `--net=${netns.path}`,
    '--',
    'iptables-nft',
    '-t',
    'mangle',
    '-I',
    'POSTROUTING',
    '-j',
    'ACCEPT',
  ]);
  expect(await chainsStand([chain], inside)).toBe(false);
  await applyChains([chain], inside);
  await applyChains([chain], inside);
  expect(await chainsStand([chain], inside)).toBe(true);
  expect((await rules()).match(/-j SLUICE-test/g)).toHaveLength(1);
  expect(await removeChains([chain], inside)).toBe(true);
  expect(await rules()).not.toContain('SLUICE');
  expect(await rules()).toContain('-A POSTROUTING -j ACCEPT');
  expect(await removeChains([chain], inside)).toBe(false);
});
