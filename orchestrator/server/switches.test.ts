/** Switches at the server: how they are planned, opened and answered for. */
import { nodeClient, registerNode } from '../../linux/join.ts';
import type { NodeName } from '../../model/names.ts';
import type { SwitchWish } from '../../model/switch-request.ts';
import { uplink } from '../../test/server-world.ts';
import { CONTAINERS, HOUR, refusal, switchesForEachTest, until } from '../../test/support/switch-world.ts';

const switches = switchesForEachTest();
const { world, open, plan, show, list, act, audit } = switches;

describe('opening a switch', () => {
  it('is answered when every chosen container has it', async () => {
    const opened = await open();
    expect(opened).toMatchObject({
      phase: 'open',
      settled: true,
      next: { what: 'closes', at: world.now + HOUR },
      switch: { openedBy: 'root', reason: 'sale at 11.11', until: world.now + HOUR },
    });
    expect(opened.effects.map(({ subject, state }) => [subject?.instance, state])).toEqual([
      ['cart-1', 'applied'],
      ['cart-2', 'applied'],
    ]);
    expect(await list()).toMatchObject([{ id: opened.switch.id, phase: 'open' }]);
  });

  it('writes who, when, why, and each value before and after into the audit log', async () => {
    const { switch: one } = await open({ changes: { cpu: { do: 'set', value: 0.75 } } });
    expect((await audit()).at(-1)).toMatchObject({
      at: world.now,
      who: 'root',
      operation: 'switch.open',
      reason: 'sale at 11.11',
      before: { limits: { 'a/blue/cart-1/eth0': { cpu: 0.5 }, 'a/blue/cart-2/eth0': { cpu: 0.5 } } },
      after: {
        switch: { id: one.id },
        limits: { 'a/blue/cart-1/eth0': { cpu: 0.75 }, 'a/blue/cart-2/eth0': { cpu: 0.75 } },
      },
    });
    await act(one.id, 'close', { reason: 'over' });
    expect((await audit()).at(-1)).toMatchObject({
      operation: 'switch.close',
      reason: 'over',
      before: { limits: { 'a/blue/cart-1/eth0': { cpu: 0.75 } } },
      after: { limits: { 'a/blue/cart-1/eth0': { cpu: 0.5 } } },
    });
  });

  it('says why a container has it only in part, and which nodes cannot be reached', async () => {
    switches.node.containers = CONTAINERS.map((one) =>
      one.name === 'cart-2'
        ? { ...one, shortfalls: [{ field: 'net.external.out', wanted: null, why: 'no such class' }] }
        : one,
    );
    await registerNode(
      world.using(nodeClient(await world.join('b' as NodeName, 2))),
      'b' as NodeName,
      uplink(2),
    );
    const opened = await open();
    expect(opened.effects).toMatchObject([
      { state: 'applied', why: null },
      { state: 'partly', why: 'net.external.out: no such class' },
    ]);
    expect(opened.unreachable).toEqual(['b']);
  });

  it('is refused when nothing is chosen, and asks when everything is', async () => {
    await expect(open({ select: { tenant: ['green'] } })).rejects.toMatchObject(refusal('not_found'));
    await expect(open({ select: {} })).rejects.toMatchObject(refusal('conflict', 'all 3 of them'));
    await expect(open({ select: { tenant: ['blue', 'red'] } })).rejects.toMatchObject(refusal('conflict'));
    // Which containers are the one per cent follows from the id: with this one, none.
    await expect(open({ percent: 1, id: 'sw-aaaaaaaa' })).rejects.toMatchObject(
      refusal('not_found', '1 per cent of 2'),
    );
    expect(await list()).toEqual([]);
    expect((await open({ select: {}, all: true })).effects).toHaveLength(3);
  });

  it('is refused with an end before its beginning, in the past, twice, never, and too far', async () => {
    const { now } = world;
    const ends = [
      { forMs: undefined },
      { until: now + HOUR },
      { forMs: undefined, until: now - 1 },
      { forMs: undefined, from: now + HOUR, until: now + HOUR },
      { repeat: { cron: '0 0 30 2 *', forMs: HOUR } },
      { reason: ' ' },
      { reason: 'two\nlines' },
    ];
    for (const wish of ends) await expect(open(wish)).rejects.toMatchObject(refusal('invalid_request'));
    await expect(open({ forMs: 31 * 24 * HOUR })).rejects.toMatchObject(refusal('refused', '720 h'));
    expect(await list()).toEqual([]);
  });

  it('is refused with fields and values that mean nothing', async () => {
    const changes = [
      {},
      { speed: { do: 'lift' } },
      { cpu: { do: 'set', value: -1 } },
      { cpu: { do: 'set', value: '4 cores' } },
      { 'cpu.set': { do: 'scale', factor: 2 } },
      { cpu: { do: 'scale', factor: 0 } },
      { cpu: { do: 'double' } },
    ] as unknown as SwitchWish['changes'][];
    for (const one of changes)
      await expect(open({ changes: one })).rejects.toMatchObject(refusal('invalid_request'));
    await expect(
      open({ select: { app: ['cart'] }, changes: { 'tenant.net.external.out': { do: 'lift' } } }),
    ).rejects.toMatchObject(refusal('invalid_request', 'by tenant, node and zone alone'));
  });

  it('is refused when a node lacks what it gives, unless it is forced', async () => {
    const wish = { changes: { cpu: { do: 'set', value: 3 } } } as const;
    expect(await plan(wish)).toMatchObject({
      lacks: [{ node: 'a', of: 'cpu', has: 4, wanted: 8 }],
      refusal: { code: 'refused' },
    });
    await expect(open(wish)).rejects.toMatchObject(refusal('refused', 'node a has 4 cores, and 8'));
    expect(await list()).toEqual([]);
    expect(await open({ ...wish, force: true })).toMatchObject({ phase: 'open' });
  });

  it('is not refused for what was promised too often before', async () => {
    switches.node.containers = [...CONTAINERS, { tenant: 'red', name: 'batch-2', limits: { cpu: 9 } }];
    await switches.node.report();
    expect(await plan({ changes: { cpu: { do: 'scale', factor: 0.5 } } })).toMatchObject({
      lacks: [],
      refusal: null,
    });
    expect(await plan()).toMatchObject({ lacks: [], refusal: null });
  });

  it('takes presets from the configuration, and what is said besides comes first', async () => {
    const { switch: one } = await open({ preset: 'peak', changes: undefined, forMs: undefined });
    expect(one).toMatchObject({ name: 'peak', priority: 100, until: world.now + 6 * HOUR });
    expect(Object.keys(one.changes)).toHaveLength(13);
    const batch = await open({
      ...{ preset: 'degrade-batch', select: { labels: { tier: ['batch'] } } },
      changes: { cpu: { do: 'set', value: 0.1 } },
    });
    expect(batch.switch.changes).toMatchObject({
      cpu: { do: 'set', value: 0.1 },
      'block.read': { do: 'scale', factor: 0.5 },
    });
    await expect(open({ preset: 'nothing' })).rejects.toMatchObject(refusal('not_found'));
  });

  it('can be asked again with the id of its plan, and is not opened twice', async () => {
    const { switch: planned } = await plan();
    expect((await open({ id: planned.id })).switch.id).toBe(planned.id);
    await expect(open({ id: planned.id })).rejects.toMatchObject(refusal('already_exists'));
  });
});

describe('a plan', () => {
  it('shows each field of each container: base, now, then, and who else has a say', async () => {
    const first = await open({ changes: { 'net.external.out': { do: 'scale', factor: 2 } } });
    const changes = { 'net.external.out': { do: 'scale', factor: 1.5 } } as const;
    const { containers, refusal: none, switch: one } = await plan({ changes });
    expect(none).toBeNull();
    const field = {
      field: 'net.external.out',
      base: 10e6,
      now: 20e6,
      becomes: 30e6,
      others: [first.switch.id],
    };
    expect(containers.map(({ subject, reachable, fields }) => [subject.instance, reachable, fields])).toEqual(
      [
        ['cart-1', true, [field]],
        ['cart-2', true, [field]],
      ],
    );
    expect(await list()).toHaveLength(1);
    expect(one.id).not.toBe(first.switch.id);
  });

  it('looks at what will be open then, not only now', async () => {
    const from = world.now + 2 * HOUR;
    await open({ from, changes: { cpu: { do: 'set', value: 0.8 } } });
    world.now += 1;
    expect(
      (await plan({ changes: { cpu: { do: 'scale', factor: 2 } } })).containers[0]?.fields[0],
    ).toMatchObject({
      becomes: 1,
      others: [],
    });
    expect(
      (await plan({ from: from + 1, changes: { cpu: { do: 'scale', factor: 2 } } })).containers[0]?.fields[0],
    ).toMatchObject({ now: 0.5, becomes: 1.6 });
    // Together they are too much as soon as the other one opens, in the middle of this one.
    expect(
      await plan({ select: { tenant: ['red'] }, changes: { cpu: { do: 'set', value: 2.9 } } }),
    ).toMatchObject({
      lacks: [],
    });
    expect(
      await plan({
        select: { tenant: ['red'] },
        changes: { cpu: { do: 'set', value: 2.9 } },
        forMs: 3 * HOUR,
      }),
    ).toMatchObject({ lacks: [{ of: 'cpu', wanted: 4.5 }] });
  });

  it('shows tenants’ shares of nodes', async () => {
    await world.root.request('PUT', '/v1/plans/blue', {
      tenant: 'blue',
      share: { 'tenant.net.external.out': 1e9 },
    });
    const changes = { 'tenant.net.external.out': { do: 'scale', factor: 2 } } as const;
    await until(async () => (await plan({ changes })).shares[0]?.fields[0]?.now === 1e9);
    expect(await plan({ changes })).toMatchObject({
      containers: [],
      shares: [{ node: 'a', tenant: 'blue', fields: [{ base: 1e9, now: 1e9, becomes: 2e9 }] }],
    });
    expect((await open({ changes })).effects).toMatchObject([
      { subject: null, tenant: 'blue', state: 'applied' },
    ]);
  });
});

describe('squeezing', () => {
  it('takes what is missing from the lowest tenant, and gives it back with its switch', async () => {
    await world.root.request('PUT', '/v1/plans/red', { tenant: 'red', priority: -10 });
    const opened = await open({ changes: { cpu: { do: 'set', value: 1.5 } }, squeeze: true });
    expect(opened).toMatchObject({ phase: 'open', settled: true, squeezes: [expect.any(String)] });
    const [id = ''] = opened.squeezes;
    expect((await show(id)).switch).toMatchObject({
      squeezeFor: opened.switch.id,
      select: { tenant: ['red'], node: ['a'] },
      changes: { cpu: { do: 'scale', factor: 0.5 } },
      until: opened.switch.until,
    });
    await act(opened.switch.id, 'extend', { until: world.now + 2 * HOUR });
    expect((await show(id)).switch.until).toBe(world.now + 2 * HOUR);
    await act(opened.switch.id, 'close', {});
    expect(await list()).toEqual([]);
    expect(await show(id)).toMatchObject({ phase: 'closed', effects: [{ state: 'applied' }] });
  });

  it('is refused when lower tenants have too little, or there are none', async () => {
    const wish = { changes: { cpu: { do: 'set', value: 3 } }, squeeze: true } as const;
    await expect(open(wish)).rejects.toMatchObject(refusal('refused'));
    await world.root.request('PUT', '/v1/plans/red', { tenant: 'red', priority: -10 });
    await expect(open(wish)).rejects.toMatchObject({ hint: expect.stringContaining('no more to give') });
    expect(await list()).toEqual([]);
  });
});
