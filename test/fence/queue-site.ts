/** The userland plane's uplink in a namespace: its rules, its workers, and raw frames before and behind them. */
import { execFileSync } from 'node:child_process';
import { ethernetFrame } from '../../linux/frames.ts';
import { applyChains } from '../../linux/iptables.ts';
import { inNetns } from '../../linux/netns.ts';
import { openNftables } from '../../linux/nft.ts';
import { openPacketSocket, type PacketSocket } from '../../linux/packet.ts';
import type { Mac } from '../../model/addresses.ts';
import type { MarkMask } from '../../model/mark.ts';
import type { IfName, NodeName } from '../../model/names.ts';
import type { FenceFacts } from '../../tagqueue/nfqueue/tables.ts';
import { queueChains, wireScript } from '../../tagqueue/nfqueue/wire-rules.ts';
import { startWorkers, type Workers } from '../../tagqueue/nfqueue/workers.ts';
import { ETHERTYPE } from '../frames.ts';
import type { Direction } from './plain-judge.ts';
import { layWire } from './wire.ts';
import { WIRE_MAC } from './world.ts';

const UPLINK = 'near0' as IfName;
const QUEUES = [100, 101];
const NEXT_HOP = '192.0.2.2';

/** Where a packet came out. */
export interface Seen {
  /** Of the interface it left by: a tenant's, whose mark it bore, or 0 for the uplink. */
  readonly mark: number;
  readonly packet: Buffer;
}

export interface QueueSite extends AsyncDisposable {
  readonly workers: Workers;
  /** Puts a packet on the wire, or into the stack with this mark; its number must stand in its identification. */
  send(direction: Direction, mark: number, packet: Buffer): void;
  /** What has come out since the last call, by number, once everything that was sent has been judged. */
  settle(): Promise<Map<number, Seen>>;
}

/** @param marks  of the tenants */
export async function openQueueSite(facts: FenceFacts, marks: readonly number[]): Promise<QueueSite> {
  await using site = new AsyncDisposableStack();
  const wire = site.use(layWire('queue'));
  const ip = (...words: string[]): string =>
    execFileSync('ip', ['-n', wire.name, ...words], { encoding: 'utf8' });
  const inside = ['nsenter', `--net=${wire.netns.path}`, '--'];
  const [first = '', ...rest] = inside;
  const sysctl = (name: string, value: number): void => {
    execFileSync(first, [...rest, 'sysctl', '-qw', `net.ipv4.${name}=${value}`]);
  };
  // One way into the stack for each mark, 0 included; packets that bear it leave there as well.
  const doors = [0, ...marks].map((mark, index) => ({ mark, near: `door${index}`, far: `yard${index}` }));
  for (const { near, far } of doors) wire.addPair(near, far);
  for (const link of ['all', 'default', UPLINK, ...doors.map(({ near }) => near)]) {
    sysctl(`conf.${link}.rp_filter`, 0);
    sysctl(`conf.${link}.send_redirects`, 0);
    sysctl(`conf.${link}.forwarding`, 1);
  }
  for (const { near } of [...doors, { near: UPLINK }])
    ip('neigh', 'add', NEXT_HOP, 'lladdr', WIRE_MAC, 'dev', near, 'nud', 'permanent');
  // Without any address of its own a namespace knows no gateways.
  ip('address', 'add', '192.0.2.1/32', 'dev', UPLINK);
  ip('route', 'add', 'default', 'via', NEXT_HOP, 'dev', UPLINK, 'onlink');
  for (const { mark, near } of doors.slice(1)) {
    const table = String(100 + marks.indexOf(mark));
    ip('rule', 'add', 'iif', UPLINK, 'fwmark', `${mark}/${facts.markMask}`, 'table', table);
    ip('route', 'add', 'default', 'via', NEXT_HOP, 'dev', near, 'onlink', 'table', table);
  }
  const nft = inNetns(wire.netns, openNftables);
  site.defer(() => nft.close());
  const rules = {
    ...{ node: 'site' as NodeName, uplink: UPLINK, internalPool: facts.internalPool },
    ...{ markMask: facts.markMask as MarkMask, firstQueue: QUEUES[0]!, queues: QUEUES.length },
  };
  nft.apply('write the uplink', wireScript(rules));
  nft.apply(
    'mark what comes by the doors',
    `table ip doors { chain in { type filter hook prerouting priority -400; ${doors
      .map(({ mark, near }) => `iifname "${near}" meta mark set ${mark}`)
      .join('; ')}; }\n}`,
  );
  await applyChains(queueChains(rules), { through: inside });
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (...words: unknown[]) => process.stderr.write(`${JSON.stringify(words)}\n`),
  };
  const workers = inNetns(wire.netns, () => startWorkers(QUEUES, facts, log as never)) as Workers;
  site.defer(() => workers.close());
  if (!(await workers.reading(10_000))) throw new Error('the workers do not read');

  const macOf = (link: string): Mac => JSON.parse(ip('-j', 'link', 'show', link))[0].address;
  const uplinkMac = macOf(UPLINK);
  const wireEnd = site.use(openPacketSocket(wire.netns, 'far0'));
  const yards = doors.map(({ mark, near, far }) => ({
    mark,
    mac: macOf(near),
    socket: site.use(openPacketSocket(wire.netns, far)),
  }));
  const owned = site.move();
  return {
    workers,
    send(direction, mark, packet): void {
      const yard = yards.find((one) => one.mark === mark) ?? yards[0]!;
      const [socket, mac] = direction === 'in' ? [wireEnd, uplinkMac] : [yard.socket, yard.mac];
      socket.send(ethernetFrame(WIRE_MAC, mac, ETHERTYPE.ipv4, packet));
    },
    async settle(): Promise<Map<number, Seen>> {
      const seen = new Map<number, Seen>();
      const take = (socket: PacketSocket, mark: number): void => {
        for (const { bytes, outgoing } of socket.take())
          if (!outgoing && bytes.readUInt16BE(12) === ETHERTYPE.ipv4) {
            const packet = bytes.subarray(14);
            seen.set(packet.readUInt16BE(4), { mark, packet });
          }
      };
      await idle(workers);
      take(wireEnd, 0);
      for (const { socket, mark } of yards) take(socket, mark);
      return seen;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Until the workers have judged no packet for some looks: what the queues held has then come out. */
async function idle(workers: Workers): Promise<void> {
  const total = (): number => {
    const { refused, tagged, verified } = workers.counters();
    return refused.reduce((sum, one) => sum + one, tagged + verified);
  };
  for (let quiet = 0, before = -1; quiet < 3; ) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    quiet = total() === before ? quiet + 1 : 0;
    before = total();
  }
}
