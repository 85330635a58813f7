import { Subject } from './limits.ts';
import { Changes, Selector, Switch } from './switch.ts';
import { chooses, choosesShare, scopeProblem, selects } from './switch-scope.ts';

const subject = (more: object = {}): Subject =>
  Subject.parse({
    ...{
      node: 'a',
      zone: 'z1',
      tenant: 'shop',
      app: 'cart',
      instance: 'cart-1',
      containerId: 'c1',
      ifName: 'eth0',
    },
    ...{ labels: { tier: 'web' }, ...more },
  });

const switchOf = (more: object): Switch =>
  Switch.parse({
    ...{
      id: 'sw-00000001',
      name: 'peak',
      select: {},
      changes: { cpu: { do: 'lift' } },
      percent: 100,
      priority: 0,
    },
    ...{ from: 0, until: 10, repeat: null, reason: 'a test', openedBy: 'op', openedAt: 0 },
    ...more,
  });

describe('a selector', () => {
  it.each<[object, boolean]>([
    [{}, true],
    [{ tenant: ['shop'] }, true],
    [{ tenant: ['blue', 'shop'], app: ['cart'] }, true],
    [{ tenant: ['shop'], app: ['pay'] }, false],
    [{ instance: ['cart-1'], node: ['a'], zone: ['z1'] }, true],
    [{ node: ['b'] }, false],
    [{ zone: ['z2'] }, false],
    [{ labels: { tier: ['db', 'web'] } }, true],
    [{ labels: { tier: ['web'], colour: ['red'] } }, false],
    // What every object has is no label.
    [{ labels: { constructor: ['x'] } }, false],
  ])('%j fits: %j', (select, fits) => {
    expect(selects(Selector.parse(select), subject())).toBe(fits);
  });

  it('fits nothing that has no word for it', () => {
    const nameless = subject({ app: null, instance: null, zone: null, labels: {} });
    for (const select of [
      { app: ['cart'] },
      { instance: ['x'] },
      { zone: ['z1'] },
      { labels: { tier: ['web'] } },
    ]) {
      expect(selects(Selector.parse(select), nameless)).toBe(false);
    }
  });
});

describe("a tenant's share of a node", () => {
  it('is chosen by tenant, node and zone', () => {
    const share = subject();
    expect(choosesShare(switchOf({ select: { tenant: ['shop'], node: ['a'] } }), share)).toBe(true);
    expect(choosesShare(switchOf({ select: { tenant: ['blue'] } }), share)).toBe(false);
    expect(choosesShare(switchOf({ select: { tenant: ['shop'], app: ['cart'] } }), share)).toBe(false);
  });

  it('cannot be meant where single containers are', () => {
    const changes = Changes.parse({ 'tenant.net.external.out': { do: 'lift' } });
    expect(scopeProblem({ select: { app: ['cart'] }, changes })).toMatch(/^tenant\.net\.external\.out: /);
    expect(scopeProblem({ select: { tenant: ['shop'] }, changes })).toBeUndefined();
    expect(scopeProblem({ select: { app: ['cart'] }, changes: { cpu: { do: 'lift' } } })).toBeUndefined();
  });
});

describe('a part of the containers', () => {
  const all = Array.from({ length: 2_000 }, (_, i) =>
    subject({ instance: `cart-${i}`, containerId: `c${i}` }),
  );
  const chosen = (percent: number, id = 'sw-00000001') =>
    all.filter((one) => chooses(switchOf({ id, percent }), one)).map(({ containerId }) => containerId);

  it.each([1, 10, 50, 90])('of %d per cent is about as large', (percent) => {
    const share = (chosen(percent).length / all.length) * 100;
    // Four standard deviations of 2,000 fair draws.
    const spread = 4 * Math.sqrt((percent * (100 - percent)) / all.length);
    expect(Math.abs(share - percent)).toBeLessThan(spread);
  });

  it('is another one for another switch', () => {
    const [one, other] = [new Set(chosen(50)), chosen(50, 'sw-00000002')];
    const both = other.filter((id) => one.has(id)).length;
    expect(both / all.length).toBeGreaterThan(0.2);
    expect(both / all.length).toBeLessThan(0.3);
  });

  it('is all at a hundred, and keeps a container that is made anew under its name', () => {
    expect(chosen(100)).toHaveLength(all.length);
    const again = switchOf({ percent: 50 });
    for (const one of all.slice(0, 50)) {
      expect(chooses(again, { ...one, containerId: subject({ containerId: 'new' }).containerId })).toBe(
        chooses(again, one),
      );
    }
  });
});
