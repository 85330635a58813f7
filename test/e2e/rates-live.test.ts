/** Rates change under traffic, are shared, survive what dies, and leave nothing open when something is missing. */
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { ethernetFrame } from '../../linux/frames.ts';
import { removeClass } from '../../linux/htb.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { inNetns, openNetns } from '../../linux/netns.ts';
import { openPacketSocket } from '../../linux/packet.ts';
import { type Daemon, run } from '../../linux/process.ts';
import { type Ipv4, type Mac, macOfAddress } from '../../model/addresses.ts';
import type { ContainerId, IfName, TenantName } from '../../model/names.ts';
import type { AccountId } from '../../model/usage.ts';
import type { TenantRates } from '../../qos/contract.ts';
import { until } from '../faults/crashes.ts';
import { ETHERTYPE, ipv4, udp } from '../frames.ts';
import {
  countersOf,
  type Flow,
  flow,
  inside,
  listen,
  meanRate,
  type NodeShaper,
  shaperOf,
  sharePayload,
} from '../support/rates.ts';

const MORE = ['-C', 'cubic', '-l', '4K'];

let lab: Lab;
let shaper: NodeShaper;
let one: LabContainer;
let two: LabContainer;
let far: LabContainer;
let share: number;
let daemons: Daemon[] = [];

beforeAll(async () => {
  lab = await createLab({ prefix: 'ratelive', nodes: ['b', 'a'] });
  await lab.start();
  await lab.tenant('blue');
  [one, two, far] = await Promise.all([
    lab.container('a', 'blue', 'c1'),
    lab.container('a', 'blue', 'c2'),
    lab.container('b', 'blue', 'c3'),
  ]);
  shaper = await shaperOf(
    lab.node('a'),
    new Map([
      [one, 'blue'],
      [two, 'blue'],
    ]),
  );
  share = await sharePayload(one.namespace, 'internal');
  daemons = await Promise.all([
    ...[one, far].map(({ namespace }) => listen(namespace)),
    listen(far.namespace, 5202),
  ]);
});
afterAll(async () => {
  await Promise.all(daemons.map((daemon) => daemon.stop()));
  await shaper?.[Symbol.asyncDispose]();
  await lab?.close();
});

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const ofRate = (ran: Flow, from: number, to: number, rate: number): number =>
  meanRate(ran, from, to) / share / rate;

describe('a live change', () => {
  it.each(['out', 'in'] as const)(
    'of what goes %s holds at once, and no connection notices',
    async (direction) => {
      const [from, to] = direction === 'out' ? [one, far] : [far, one];
      await shaper.want([{ container: one, side: 'internal', [direction]: 100e6 }]);
      const running = flow(from.namespace, to.internal, { seconds: 4, more: MORE });
      const held: number[] = [];
      await after(100);
      for (const rate of [100e6, 20e6, 200e6]) {
        await shaper.want([{ container: one, side: 'internal', [direction]: rate }]);
        await after(100);
        held.push((await rateWithin(800)) / rate);
      }
      await shaper.want([]);
      const ran = await running;
      const free = meanRate(ran, 3.2, 3.9);
      process.stdout.write(
        `    ${direction}: ${held.map((one) => one.toFixed(3)).join(', ')} of 100, 20, 200 Mbit/s, then ${(free / 1e9).toFixed(1)} Gbit/s\n`,
      );
      expect(ran.error).toBeUndefined();
      for (const figure of held) expect(Math.abs(figure - 1)).toBeLessThan(0.12);
      expect(free).toBeGreaterThan(400e6);
      const bins = ran.bins.filter(({ start }) => start < 3.9).map(({ bits_per_second }) => bits_per_second);
      expect(bins.length).toBeGreaterThan(35);
      // Nowhere 200 ms without anything.
      expect(bins.filter((bin, index) => bin === 0 && bins[index - 1] === 0)).toEqual([]);
    },
  );

  /**
   * Frames that leave the queue, bits a second. What arrives at the application is no measure within a second: it waits
   * for what was lost, and then comes at once.
   */
  async function rateWithin(ms: number): Promise<number> {
    const through = async (): Promise<number> => (await shaper.keeper.statistics())[0]?.bytes ?? 0;
    const [before, began] = [await through(), performance.now()];
    await after(ms);
    const bytes = (await through()) - before;
    return (bytes * 8_000) / (performance.now() - began);
  }

  it('is read back from the kernel, and lifting leaves nothing', async () => {
    await shaper.want([{ container: one, side: 'internal', in: 10e6, out: 10e6 }]);
    const before = await shaper.keeper.read();
    const began = performance.now();
    await shaper.want([{ container: one, side: 'internal', in: 20e6, out: 30e6 }]);
    process.stdout.write(`    one port in ${(performance.now() - began).toFixed(1)} ms\n`);
    expect(before.ports[0]).toMatchObject({ in: 10e6, out: 10e6 });
    expect((await shaper.keeper.read()).ports[0]).toMatchObject({ in: 20e6, out: 30e6 });
    await shaper.want([]);
    expect(await shaper.keeper.read()).toEqual({ ports: [], tenants: [] });
  });
});

describe("a tenant's share", () => {
  const blue = (rate: number, borrow: boolean): TenantRates => ({
    ...{ tenant: 'blue' as TenantName, side: 'internal', in: null, out: rate, borrow },
  });
  async function together(): Promise<[number, number]> {
    const [first, second] = await Promise.all([
      flow(one.namespace, far.internal, { seconds: 2, more: MORE }),
      flow(two.namespace, far.internal, { seconds: 2, port: 5202, more: MORE }),
    ]);
    return [meanRate(first, 0.5, 1.9) / share / 1e6, meanRate(second, 0.5, 1.9) / share / 1e6];
  }

  it('is divided in proportion to what his containers may have', async () => {
    const wishes = [
      { container: one, side: 'internal', out: 30e6 },
      { container: two, side: 'internal', out: 90e6 },
    ] as const;
    await shaper.want(wishes, [blue(60e6, false)]);
    const [slow, quick] = await together();
    process.stdout.write(`    30 and 90 of 60 Mbit/s: ${slow.toFixed(1)} and ${quick.toFixed(1)}\n`);
    expect(Math.abs(slow - 15)).toBeLessThan(2);
    expect(Math.abs(quick - 45)).toBeLessThan(4);
    expect(await shaper.keeper.read()).toMatchObject({ tenants: [blue(60e6, false)] });
  });

  it('is a lone container’s as far as its own rate, and whole where it may borrow', async () => {
    const wishes = [{ container: one, side: 'internal', out: 10e6 }] as const;
    await shaper.want(wishes, [blue(60e6, false)]);
    const own = ofRate(await flow(one.namespace, far.internal, { more: MORE }), 0.5, 1.9, 10e6);
    await shaper.want(wishes, [blue(60e6, true)]);
    const borrowed = ofRate(await flow(one.namespace, far.internal, { more: MORE }), 0.5, 1.9, 60e6);
    process.stdout.write(`    alone: ${own.toFixed(3)} of its own, ${borrowed.toFixed(3)} of the share\n`);
    expect(Math.abs(own - 1)).toBeLessThan(0.08);
    expect(Math.abs(borrowed - 1)).toBeLessThan(0.08);
    const held = await shaper.keeper.read();
    expect(held.tenants).toEqual([blue(60e6, true)]);
    expect(held.ports).toEqual([expect.objectContaining({ in: null, out: 10e6 })]);
    await shaper.want([]);
  });
});

describe('what goes to all', () => {
  it('waits in the queue like everything else, and does not come back to its sender', async () => {
    await shaper.want([
      { container: one, side: 'internal', in: 10e6, out: 10e6 },
      { container: two, side: 'internal', in: 10e6 },
    ]);
    const packets = 20;
    const before = await shaper.keeper.statistics();
    const [own, others] = [await received(one), await received(two)];
    using netns = openNetns(one.netns);
    using socket = openPacketSocket(netns, 'eth1');
    const body = ipv4(
      { source: one.internal, destination: '224.0.1.7' as Ipv4 },
      udp(1, 2, Buffer.alloc(100)),
    );
    const frame = ethernetFrame(macOfAddress(one.internal), GROUP, ETHERTYPE.ipv4, body);
    for (let i = 0; i < packets; i++) socket.send(frame);
    await until('they have arrived', async () => (await received(two)) >= others + packets);
    expect(await received(one)).toBe(own);
    const passed = (await shaper.keeper.statistics()).map(
      ({ packets: now }, index) => now - (before[index]?.packets ?? 0),
    );
    // One sends them, the other receives them; what the first has dropped on its way back was never queued.
    expect(passed.filter((now) => now >= packets)).toHaveLength(2);
    await shaper.want([]);
  });
});

const GROUP = '01:00:5e:00:01:07' as Mac;
const received = async ({ namespace }: LabContainer): Promise<number> =>
  (await countersOf(namespace, 'internal')).receivedPackets;

describe('what is missing', () => {
  it('shuts the port when it is its class', async () => {
    await shaper.want([{ container: one, side: 'internal', out: 10e6 }]);
    const port = [...shaper.plane.list().values()].find(({ outClass }) => outClass !== 0)!;
    const reach = async (): Promise<boolean> =>
      (await run(inside(one.namespace, 'ping', '-c', '2', '-i', '0.1', '-W', '1', far.internal))).code === 0;
    expect(await reach()).toBe(true);
    using netns = openNetns(lab.node('a').netns);
    const route = inNetns(netns, () => openNetlink(NETLINK_ROUTE));
    try {
      const { out } = shaper.plane.shaping!.shaper('internal')!;
      await removeClass(route, out, port.outClass);
    } finally {
      route.close();
    }
    expect(await reach()).toBe(false);
    await shaper.want([{ container: one, side: 'internal', out: 10e6 }]);
    expect(await reach()).toBe(true);
  });

  it('is put back with its rates when it is the whole tree', async () => {
    const wishes = [{ container: one, side: 'internal', in: 12e6, out: 10e6 }] as const;
    await shaper.want(wishes);
    const before = await shaper.keeper.read();
    await lab.node('a').exec(['tc', 'qdisc', 'delete', 'dev', 'soi-a', 'root']);
    expect(await shaper.keeper.read()).not.toEqual(before);
    await shaper.want(wishes);
    expect(await shaper.keeper.read()).toEqual(before);
  });

  it('is no rate when a port is bound anew', async () => {
    await shaper.want([{ container: one, side: 'internal', in: 10e6, out: 10e6 }]);
    const before = await shaper.keeper.read();
    const port = [...shaper.plane.list().values()].find(({ inClass }) => inClass !== 0)!;
    const name = { container: one.id as ContainerId, ifName: 'eth1' as IfName };
    shaper.plane.bind(port, name);
    expect(await shaper.keeper.read()).toEqual(before);
    // The kernel gives indexes again: what another container had is not this one's.
    shaper.plane.bind({ ...port, account: (port.account + 1n) as AccountId }, name);
    expect(await shaper.keeper.read()).toEqual({ ports: [], tenants: [] });
    shaper.plane.bind(port, name);
  });
});
