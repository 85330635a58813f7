import { type ListedRoute, OUR_ROUTES } from '../linux/addressing.ts';
import type { Cidr, Ipv4 } from '../model/addresses.ts';
import { NODE_B } from '../test/support/samples.ts';
import { blockRoutes, planBlockRoutes } from './block-routes.ts';

const UPLINK = 9;
const way = (to: string, via: string | undefined, more: Partial<ListedRoute> = {}): ListedRoute => ({
  ...{ to: to as Cidr, via: via as Ipv4 | undefined, dev: UPLINK, protocol: 2 },
  ...more,
});
const nextHop = (...present: ListedRoute[]): string | undefined =>
  blockRoutes([NODE_B], present, UPLINK).get(NODE_B.internalBlock)?.nextHop;

describe('the way to another node', () => {
  it('is direct on the same wire, whatever the default route says', () => {
    expect(nextHop(way('default', '192.0.2.254'), way('192.0.2.0/24', undefined))).toBe('192.0.2.2');
  });

  it('is the router when the node is behind one, by the longest prefix', () => {
    const routes = [way('default', '198.51.100.1'), way('192.0.2.0/25', '198.51.100.9')];
    expect(nextHop(...routes)).toBe('198.51.100.9');
    expect(nextHop(way('default', '198.51.100.1'))).toBe('198.51.100.1');
  });

  it('is not looked for in our own routes, nor on other interfaces', () => {
    const ours = way('192.0.2.0/25', '198.51.100.9', { protocol: OUR_ROUTES });
    const elsewhere = way('192.0.2.0/25', '203.0.113.9', { dev: 4 });
    expect(nextHop(ours, elsewhere)).toBe('192.0.2.2');
  });
});

describe('planBlockRoutes', () => {
  const route = { node: '192.0.2.2' as Ipv4, nextHop: '192.0.2.2' as Ipv4 };
  const block = NODE_B.internalBlock;

  it('does nothing when all is as it should be', () => {
    expect(planBlockRoutes(new Map([[block, route]]), new Map([[block, route]]))).toEqual([]);
  });

  it('sets what is missing or different, and drops what nobody has any more', () => {
    const moved = { ...route, nextHop: '192.0.2.254' as Ipv4 };
    const gone = '10.64.8.0/22' as Cidr;
    expect(
      planBlockRoutes(
        new Map([[block, moved]]),
        new Map([
          [block, route],
          [gone, route],
        ]),
      ),
    ).toEqual([
      { do: 'set-block', block, route: moved },
      { do: 'drop-block', block: gone },
    ]);
  });
});
