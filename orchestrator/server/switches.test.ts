/** Switches at the server: how they are planned, opened, answered for, and how they end. */
import type { ApiClient } from '../../linux/api-client.ts';
import { nodeClient, operatorClient, registerNode } from '../../linux/join.ts';
import { Config } from '../../model/config.ts';
import type { NodeName } from '../../model/names.ts';
import type { SwitchListed, SwitchPlanned, SwitchShown, SwitchWish } from '../../model/switch-request.ts';
import { type CreatedToken, serverForEachTest, uplink } from '../../test/server-world.ts';
import { ReportingNode, type SampleContainer } from '../../test/support/reporting-node.ts';
import { switchRules } from './switch-rules.ts';

const world = serverForEachTest();
const HOUR = 3_600_000;

const CONTAINERS: readonly SampleContainer[] = [
  { tenant: 'blue', name: 'cart-1', app: 'cart', limits: { cpu: 0.5, 'net.external.out': 10e6 } },
  { tenant: 'blue', name: 'cart-2', app: 'cart', limits: { cpu: 0.5, 'net.external.out': 10e6 } },
  { tenant: 'red', name: 'batch-1', app: 'batch', labels: { tier: 'batch' }, limits: { cpu: 2 } },
];

const nodes: ReportingNode[] = [];
let a: ReportingNode;

const standUp = async (
  name: string,
  client: ApiClient,
  containers: readonly SampleContainer[],
): Promise<ReportingNode> => {
  const node = new ReportingNode(client, name, () => world.now, containers);
  nodes.push(node);
  await node.follow();
  return node;
};

beforeEach(async () => {
  for (const tenant of ['blue', 'red']) await world.root.request('POST', '/v1/tenants', { tenant });
  await registerNode(world.root, 'a' as NodeName, uplink(1), { zone: 'hall-1' });
  a = await standUp('a', world.root, CONTAINERS);
});

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
});

const WISH: SwitchWish = {
  select: { tenant: ['blue'] },
  changes: { 'net.external.out': { do: 'lift' } },
  forMs: HOUR,
  reason: 'sale at 11.11',
};
const open = async (wish: Partial<SwitchWish> = {}, as: ApiClient = world.root): Promise<SwitchShown> =>
  (await as.request('POST', '/v1/switches?waitMs=5000', { ...WISH, ...wish })) as SwitchShown;
const plan = async (wish: Partial<SwitchWish> = {}): Promise<SwitchPlanned> =>
  (await world.root.request('POST', '/v1/switches/plan', { ...WISH, ...wish })) as SwitchPlanned;
const show = async (id: string, waitMs = 5_000, as: ApiClient = world.root): Promise<SwitchShown> =>
  (await as.request('GET', `/v1/switches/${id}?waitMs=${waitMs}`)) as SwitchShown;
const list = async (query = '', as: ApiClient = world.root): Promise<SwitchListed[]> =>
  ((await as.request('GET', `/v1/switches${query}`)) as { items: SwitchListed[] }).items;
const act = async (
  id: string,
  what: string,
  body: object,
  as: ApiClient = world.root,
): Promise<SwitchShown> =>
  (await as.request('POST', `/v1/switches/${id}/${what}?waitMs=5000`, {
    reason: 'done',
    ...body,
  })) as SwitchShown;
const audit = async (): Promise<Record<string, unknown>[]> =>
  ((await world.root.request('GET', '/v1/audit?limit=1000')) as { items: Record<string, unknown>[] }).items;
const tenantToken = async (tenant: string): Promise<ApiClient> => {
  const { token } = (await world.root.request('POST', '/v1/tokens', {
    role: 'tenant',
    tenant,
  })) as CreatedToken;
  return world.using(operatorClient(world.address, token));
};
/** The server's clock looks every half second. */
const until = async (holds: () => Promise<boolean>): Promise<void> => {
  const end = performance.now() + 5_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('it did not come about within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
const refusal = (code: string, message = ''): object => ({
  code,
  message: expect.stringContaining(message),
});

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
    a.containers = CONTAINERS.map((one) =>
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
    a.containers = [...CONTAINERS, { tenant: 'red', name: 'batch-2', limits: { cpu: 9 } }];
    await a.report();
    expect(await plan({ changes: { cpu: { do: 'scale', factor: 0.5 } } })).toMatchObject({
      lacks: [],
      refusal: null,
    });
    expect(await plan()).toMatchObject({ lacks: [], refusal: null });
  });

  it('takes presets from the configuration, and what is said besides comes first', async () => {
    const { switch: one } = await open({ preset: 'peak', changes: undefined, forMs: undefined });
    expect(one).toMatchObject({ name: 'peak', priority: 100, until: world.now + 6 * HOUR });
    expect(Object.keys(one.changes)).toHaveLength(9);
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
    const midnight = Math.ceil(world.now / (24 * HOUR)) * 24 * HOUR;
    const wish = { forMs: 3 * 24 * HOUR, repeat: { cron: '0 2 * * *', forMs: HOUR, zone: 'UTC' } };
    const { switch: one, phase, next } = await open(wish);
    const second = midnight + 2 * HOUR;
    if (phase === 'waiting') expect(next).toEqual({ what: 'opens', at: second });
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

describe('a switch that needs a second person', () => {
  const required = { ...Config.parse({}).switches, approval: 'required', approveAbove: 1 } as const;

  beforeEach(async () => {
    for (const node of nodes.splice(0)) await node.stop();
    await world.restart({ switches: switchRules(required) });
    a = await standUp('a', world.root, CONTAINERS);
  });

  it('reaches no node before another one than the opener has agreed', async () => {
    const [anna, ben] = [await world.asRole('operator'), await world.asRole('operator')];
    const opened = await open({}, anna);
    expect(opened).toMatchObject({
      phase: 'pending',
      next: null,
      switch: { approval: { by: null, at: null } },
    });
    const { snapshot } = (await world.root.request('GET', '/v1/cluster')) as {
      snapshot: { switches: unknown[] };
    };
    expect(snapshot.switches).toEqual([]);
    await expect(act(opened.switch.id, 'approve', {}, anna)).rejects.toMatchObject(
      refusal('refused', 'somebody else'),
    );
    const approved = await act(opened.switch.id, 'approve', {}, ben);
    expect(approved).toMatchObject({ phase: 'open', settled: true });
    expect(approved.switch.approval?.by).toMatch(/^operator /);
    expect(approved.effects.map(({ state }) => state)).toEqual(['applied', 'applied']);
    await expect(act(opened.switch.id, 'approve', {}, ben)).rejects.toMatchObject(
      refusal('conflict', 'was agreed'),
    );
    await expect(
      act(opened.switch.id, 'extend', { until: world.now + 2 * HOUR }, anna),
    ).rejects.toMatchObject(refusal('refused'));
    await act(opened.switch.id, 'extend', { until: world.now + 2 * HOUR }, ben);
  });

  it('ends unopened when nobody agrees in time, and may be closed', async () => {
    const [first, second] = [await open(), await open()];
    await act(second.switch.id, 'close', {});
    world.now += HOUR;
    await until(async () => (await list()).length === 0);
    expect((await list('?all=1')).map(({ id, phase }) => [id, phase]).sort()).toEqual(
      [
        [first.switch.id, 'ended'],
        [second.switch.id, 'closed'],
      ].sort(),
    );
  });

  it('needs none when it chooses few', async () => {
    expect(await open({ select: { instance: ['cart-1'] } })).toMatchObject({ phase: 'open' });
  });
});

describe('who may', () => {
  it('is operators; nodes look, and tenants see what concerns them', async () => {
    const [operator, red, joining] = [
      await world.asRole('operator'),
      await tenantToken('red'),
      await world.asRole('node'),
    ];
    const mine = await open({ select: { tenant: ['red', 'blue'] }, all: true }, operator);
    const others = await open({ select: { app: ['cart'] } }, operator);
    expect(await list('', red)).toMatchObject([
      { id: mine.switch.id, select: { tenant: ['red'] }, openedBy: 'operator' },
    ]);
    const seen = await show(mine.switch.id, 0, red);
    expect(seen.effects.map(({ tenant }) => tenant)).toEqual(['red']);
    expect(JSON.stringify(seen)).not.toContain('blue');
    await expect(show(others.switch.id, 0, red)).rejects.toMatchObject(refusal('not_found'));
    for (const client of [red, joining]) {
      await expect(open({}, client)).rejects.toMatchObject(refusal('refused'));
      await expect(act(mine.switch.id, 'close', {}, client)).rejects.toMatchObject(refusal('refused'));
      await expect(client.request('POST', '/v1/switches/close-all', { reason: 'x' })).rejects.toMatchObject(
        refusal('refused'),
      );
    }
  });
});
