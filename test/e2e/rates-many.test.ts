/** Two hundred containers at once: a switch changes the rates of a whole node in a moment. */
import { createIfb, createLocalPair, findLink, listLinks } from '../../linux/links.ts';
import { NETLINK_ROUTE, openNetlink } from '../../linux/netlink.ts';
import { inScratchNetns } from '../../linux/scratch-netns.ts';
import type { IfName, TenantName } from '../../model/names.ts';
import type { NodeRates } from '../../qos/contract.ts';
import { openRateKeeper } from '../../qos/rates/keeper.ts';
import type { BoundPort, KnownPort, LedClasses, RateSite } from '../../qos/rates/site.ts';

const PAIRS = 100;
/** Far more than it takes on an idle machine. */
const SOON_MS = 3_000;

it('holds, changes and lifts the rates of 200 ports, both directions, each in one go', async () => {
  // The namespace is there as long as the socket.
  const route = inScratchNetns(() => openNetlink(NETLINK_ROUTE));
  try {
    const trees = { in: 'rin' as IfName, out: 'rout' as IfName };
    for (const name of Object.values(trees)) await createIfb(route, name, 1_500);
    for (let pair = 0; pair < PAIRS; pair++)
      await createLocalPair(route, { names: [`a${pair}` as IfName, `b${pair}` as IfName], mtu: 1_500 });
    const indexOf = async (name: IfName): Promise<number> => (await findLink(route, name))!.index;
    const shaper = { in: await indexOf(trees.in), out: await indexOf(trees.out) };
    const links = (await listLinks(route)).filter(({ kind }) => kind === 'veth');
    expect(links).toHaveLength(2 * PAIRS);
    const led = new Map<number, LedClasses>(links.map(({ index }) => [index, { in: 0, out: 0 }]));
    const tenantOf = (index: number): TenantName => `t${index % 10}` as TenantName;
    const site: RateSite = {
      shaper: async (side) => (side === 'internal' ? shaper : undefined),
      ports: async () =>
        new Map(
          [...led].map(([index, classes]): [number, BoundPort] => [index, { side: 'internal', classes }]),
        ),
      lead: async (ifindex, direction, minor) => {
        led.set(ifindex, { ...led.get(ifindex)!, [direction]: minor });
      },
      forget: async () => undefined,
      known: () =>
        links.map(
          ({ index, name }): KnownPort => ({ hostIf: name, side: 'internal', tenant: tenantOf(index) }),
        ),
      mtu: () => 1_500,
    };
    const keeper = openRateKeeper(route, site);
    const all = (rate: number): NodeRates => ({
      ports: links.map(({ index, name }) => ({
        ...{
          hostIf: name,
          side: 'internal',
          tenant: tenantOf(index),
          in: rate + index,
          out: rate * 2 + index,
        },
      })),
      tenants: [],
    });
    const sorted = ({ ports }: NodeRates): unknown =>
      [...ports].sort((a, b) => (a.hostIf < b.hostIf ? -1 : 1));
    const timed = async (what: string, wanted: NodeRates): Promise<void> => {
      const began = performance.now();
      expect((await keeper.apply(wanted)).size).toBe(0);
      const held = await keeper.read();
      const ms = performance.now() - began;
      process.stdout.write(`    ${what}: ${ms.toFixed(0)} ms with reading back\n`);
      expect(sorted(held)).toEqual(sorted(wanted));
      expect(ms).toBeLessThan(SOON_MS);
    };
    await timed('200 ports get rates', all(10_000_000));
    await timed('200 ports get others', all(50_000_000));
    await timed('200 ports are unlimited', { ports: [], tenants: [] });
    await keeper.close();
  } finally {
    route.close();
  }
});
