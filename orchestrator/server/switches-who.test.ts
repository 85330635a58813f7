/** Switches at the server: who may, and who must agree. */
import { Config } from '../../model/config.ts';
import { HOUR, refusal, switchesForEachTest, until } from '../../test/support/switch-world.ts';
import { switchRules } from './switch-rules.ts';

const switches = switchesForEachTest();
const { world, open, show, list, act, tenantToken } = switches;

describe('a switch that needs a second person', () => {
  const required = { ...Config.parse({}).switches, approval: 'required', approveAbove: 1 } as const;

  beforeEach(async () => {
    await switches.restart({ switches: switchRules(required) });
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
