/** Switches at the server: how they end, come back, and are remembered. */
import type { SwitchListed } from '../../model/switch-request.ts';
import { HOUR, refusal, switchesForEachTest, until } from '../../test/support/switch-world.ts';

const switches = switchesForEachTest();
const { world, open, show, list, act, audit } = switches;

describe('a switch ends', () => {
  it('at its time: nodes take it back, the server puts it into the history', async () => {
    const { switch: one } = await open();
    world.now += HOUR;
    await until(async () => (await list()).length === 0);
    expect(await show(one.id)).toMatchObject({ phase: 'ended', settled: true, next: null });
    expect(await list('?all=1')).toMatchObject([{ id: one.id, phase: 'ended', closed: null }]);
    expect((await audit()).at(-1)).toMatchObject({
      ...{ who: 'server', operation: 'switch.close', reason: 'its time is over' },
      before: { limits: { 'a/blue/cart-1/eth0': { 'net.external.out': null } } },
      after: { limits: { 'a/blue/cart-1/eth0': { 'net.external.out': 10e6 } } },
    });
    await expect(act(one.id, 'close', {})).rejects.toMatchObject(refusal('conflict', 'ended at'));
  });

  it('when it is closed, which nodes answer, and not twice', async () => {
    const { switch: one } = await open();
    const closed = await act(one.id, 'close', { reason: 'sold out' });
    expect(closed).toMatchObject({
      phase: 'closed',
      settled: true,
      switch: { closed: { by: 'root', reason: 'sold out' } },
    });
    expect(closed.effects.every(({ state }) => state === 'applied')).toBe(true);
    await expect(act(one.id, 'close', {})).rejects.toMatchObject(refusal('conflict', 'was closed'));
    await expect(act('sw-00000000', 'close', {})).rejects.toMatchObject(refusal('not_found'));
    await expect(act(one.id, 'extend', { until: world.now + HOUR })).rejects.toMatchObject(
      refusal('conflict'),
    );
  });

  it('with all others in an emergency', async () => {
    await open();
    await open({ from: world.now + HOUR });
    const closed = await world.root.request('POST', '/v1/switches/close-all?waitMs=5000', { reason: 'stop' });
    expect(closed).toEqual({ closed: [expect.any(String), expect.any(String)], settled: true });
    expect(await list()).toEqual([]);
    expect(await world.root.request('POST', '/v1/switches/close-all', { reason: 'stop' })).toMatchObject({
      closed: [],
    });
  });

  it('later when it is extended, as long as that is allowed', async () => {
    const { switch: one } = await open();
    expect(await act(one.id, 'extend', { until: world.now + 2 * HOUR })).toMatchObject({
      switch: { until: world.now + 2 * HOUR },
    });
    world.now += HOUR;
    expect((await show(one.id)).phase).toBe('open');
    await expect(act(one.id, 'extend', { until: world.now })).rejects.toMatchObject(
      refusal('invalid_request'),
    );
    await expect(act(one.id, 'extend', { until: world.now + 40 * 24 * HOUR })).rejects.toMatchObject(
      refusal('refused'),
    );
  });

  it('not later when it would meet another one then, unless that is forced', async () => {
    await open({ from: world.now + 2 * HOUR, changes: { cpu: { do: 'set', value: 1.5 } }, force: true });
    const { switch: one } = await open({
      select: { tenant: ['red'] },
      changes: { cpu: { do: 'set', value: 2.5 } },
    });
    await act(one.id, 'extend', { until: world.now + 2 * HOUR });
    const longer = { until: world.now + 3 * HOUR };
    await expect(act(one.id, 'extend', longer)).rejects.toMatchObject(
      refusal('refused', '5.5 would be promised'),
    );
    expect((await act(one.id, 'extend', { ...longer, force: true })).switch.until).toBe(longer.until);
  });

  it('also when the server was dead at that moment', async () => {
    const { switch: one } = await open();
    await world.server.close();
    world.now += HOUR;
    await world.restart();
    await until(async () => (await list()).length === 0);
    expect(await list('?all=1')).toMatchObject([{ id: one.id, phase: 'ended' }]);
  });
});

describe('windows that come back', () => {
  it('are open in between, and the server knows when', async () => {
    const midnight = (Math.ceil(world.now / (24 * HOUR)) + 1) * 24 * HOUR;
    world.now = midnight - 12 * HOUR;
    const wish = { forMs: 3 * 24 * HOUR, repeat: { cron: '0 2 * * *', forMs: HOUR, zone: 'UTC' } };
    const { switch: one, phase, next } = await open(wish);
    const second = midnight + 2 * HOUR;
    expect([phase, next]).toEqual(['waiting', { what: 'opens', at: second }]);
    world.now = second + 1;
    expect(await show(one.id, 0)).toMatchObject({
      phase: 'open',
      next: { what: 'closes', at: second + HOUR },
    });
    world.now = second + HOUR;
    expect(await show(one.id, 0)).toMatchObject({ phase: 'between' });
    await expect(open({ forMs: HOUR, from: midnight + 4 * HOUR, repeat: wish.repeat })).rejects.toMatchObject(
      refusal('invalid_request', 'none of its windows'),
    );
  });
});

describe('the history', () => {
  it('is paged, oldest first, with the living behind it', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      world.now += 1;
      const { switch: one } = await open();
      ids.push(one.id);
      if (i < 3) await act(one.id, 'close', {});
    }
    for (const limit of [1, 2, 3, 4, 10]) {
      const seen: string[] = [];
      let after: string | null = null;
      do {
        const query: string = after === null ? '' : `&after=${encodeURIComponent(after)}`;
        const page = (await world.root.request('GET', `/v1/switches?all=1&limit=${limit}${query}`)) as {
          items: SwitchListed[];
          next: string | null;
        };
        expect(page.items.length).toBeLessThanOrEqual(limit);
        seen.push(...page.items.map(({ id }) => id));
        after = page.next;
      } while (after !== null);
      expect(seen).toEqual(ids);
    }
    expect((await list()).map(({ id }) => id)).toEqual(ids.slice(3));
  });
});
