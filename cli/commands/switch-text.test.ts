import { Subject } from '../../model/limits.ts';
import { Switch } from '../../model/switch.ts';
import { SwitchPlanned, SwitchShown } from '../../model/switch-request.ts';
import { plannedText, shownText } from './switch-text.ts';

const one = Switch.parse({
  ...{ id: 'sw-00000001', name: 'peak', select: { tenant: ['shop'] }, percent: 25, priority: 5 },
  ...{ changes: { memory: { do: 'scale', factor: 2 }, 'net.external.out': { do: 'lift' } } },
  ...{ from: 0, until: 86_400_000, reason: 'sale', openedBy: 'ann', openedAt: 0 },
  repeat: { cron: '0 23 * * *', forMs: 3_600_000, zone: 'Europe/Paris' },
});

const subject = (n: number, more: object = {}): Subject =>
  Subject.parse({
    ...{ node: 'a', zone: null, tenant: 'shop', app: 'cart', instance: `cart-${n}`, containerId: `c${n}` },
    ...{ ifName: 'eth0', labels: {}, ...more },
  });

describe('what a switch would do, in words', () => {
  const planned = (more: object = {}) =>
    SwitchPlanned.parse({
      ...{ switch: one, squeezes: [], containers: [], shares: [], lacks: [], unreachable: [], refusal: null },
      ...more,
    });
  const field = { field: 'memory', base: 2 ** 27, now: 2 ** 28, becomes: 2 ** 29, others: ['sw-00000002'] };

  it('names the switch, its part, its windows, and each field with who else has a say', () => {
    const text = plannedText(
      planned({
        containers: [{ subject: subject(1), reachable: true, fields: [field] }],
        shares: [{ node: 'a', tenant: 'shop', reachable: false, fields: [] }],
      }),
    );
    expect(text).toMatch(
      /^switch sw-00000001 'peak' for tenant=shop, 25 per cent of them: memory × 2, net\.external\.out lifted$/m,
    );
    expect(text).toMatch(/in windows of 60 min at '0 23 \* \* \*' Europe\/Paris, priority 5$/m);
    expect(text).toMatch(/a +shop +cart-1 +memory +128MiB +256MiB +512MiB +sw-00000002$/m);
  });

  it('says what is missing, who makes room, who is silent, and why it would be refused', () => {
    const text = plannedText(
      planned({
        squeezes: [{ ...one, id: 'sw-00000003', select: { tenant: ['batch'] }, squeezeFor: one.id }],
        lacks: [{ node: 'a', of: 'uplink', has: 1e9, wanted: 1.5e9 }],
        unreachable: ['b'],
        refusal: { code: 'refused', message: 'too much', hint: 'less' },
      }),
    );
    expect(text).toContain('it chooses no container');
    expect(text).toContain('room is made by sw-00000003 for tenant=batch: memory × 2');
    expect(text).toContain('node a has 1Gbit of its uplink, and 1.5Gbit would be promised');
    expect(text).toContain('not heard of lately: b');
    expect(text).toContain('it would be refused: too much');
  });

  it('counts the rows that would fill the terminal', () => {
    const containers = Array.from({ length: 80 }, (_, n) => ({
      subject: subject(n),
      reachable: true,
      fields: [field],
    }));
    expect(plannedText(planned({ containers }))).toContain('… and 30 more rows: --json has all');
  });
});

describe('what has become of a switch, in words', () => {
  const shown = (more: object = {}) =>
    SwitchShown.parse({
      ...{ switch: one, phase: 'open', next: { what: 'closes', at: 3_600_000 }, squeezes: [], effects: [] },
      ...{ unreachable: [], settled: true, ...more },
    });
  const effect = (n: number, state: string, why: string | null = null) => ({
    ...{ node: 'a', tenant: 'shop', subject: subject(n), state, why },
  });

  it('says first what is not as it should be, and counts all', () => {
    const text = shownText(
      shown({
        settled: false,
        effects: [
          ...[
            effect(1, 'applied'),
            effect(2, 'partly', 'memory: 200MiB are in use'),
            effect(3, 'unreachable'),
          ],
          { ...effect(4, 'pending'), subject: null },
        ],
      }),
    );
    const lines = text.split('\n');
    expect(text).toContain('open; closes at 1970-01-01T01:00:00Z');
    expect(text).toContain('1 applied, 1 partly, 1 unreachable, 1 pending; not every node has answered yet');
    expect(lines.at(-4)).toMatch(/cart-2 +partly +memory: 200MiB are in use/);
    expect(lines.at(-2)).toMatch(/shop +all together +pending/);
    expect(lines.at(-1)).toMatch(/cart-1 +applied/);
  });

  it('says who closed it, and that nobody has agreed yet', () => {
    const closed = { ...one, closed: { by: 'bob', at: 60_000, reason: 'enough' } };
    expect(shownText(shown({ switch: closed, phase: 'closed', next: null }))).toMatch(
      /closed by bob at 1970-01-01T00:01:00Z: enough\nclosed$/,
    );
    const asked = { ...one, approval: { by: null, at: null } };
    expect(shownText(shown({ switch: asked, phase: 'pending', next: null }))).toMatch(
      /nobody has agreed to it yet\nwaits for a second person: sluice switch approve$/,
    );
  });

  it('tells interfaces of one container apart', () => {
    const effects = [{ ...effect(1, 'applied'), subject: subject(1, { ifName: 'net1', instance: null }) }];
    expect(shownText(shown({ effects }))).toMatch(/c1\/net1 +applied/);
  });
});
