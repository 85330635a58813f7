import { baseOf, effective } from '../../model/effective-limits.ts';
import { LIMIT_FIELDS, type LimitField, type Limits, Subject } from '../../model/limits.ts';
import { Switch } from '../../model/switch.ts';
import { type ToldLimits, toldRow, toldText } from './limits-told.ts';

const lift = Switch.parse({
  ...{
    id: 'sw-00000001',
    name: 'peak',
    select: {},
    percent: 100,
    priority: 0,
    from: 0,
    until: 10,
    repeat: null,
  },
  ...{ changes: { 'net.external.out': { do: 'lift' }, cpu: { do: 'set', value: 4 } } },
  ...{ reason: 'sale', openedBy: 'ann', openedAt: 0 },
});

const told = (kernel: Limits, more: Partial<ToldLimits> = {}): ToldLimits => {
  const base = baseOf({
    app: { cpu: 0.5 },
    runtime: { memory: 2 ** 27 },
    plan: { 'net.external.out': 50e6 },
    cluster: { pids: 200 },
  });
  const all = effective({ base, switches: [lift], fields: LIMIT_FIELDS });
  const fields = LIMIT_FIELDS.map((field: LimitField) => {
    const { value, base: was, source, steps } = all[field];
    const held = kernel[field];
    return { field, base: was, source, steps, effective: value, ...(held !== undefined && { kernel: held }) };
  });
  return {
    subject: Subject.parse({
      ...{ node: 'a', zone: null, tenant: 'shop', app: 'cart', instance: 'cart-1', containerId: 'c1' },
      ...{ ifName: 'eth0', labels: { tier: 'web' } },
    }),
    ...{ fields, shortfalls: [], events: [], cgroup: null, statistics: null, ...more },
  };
};

describe('the limits of a container, in words', () => {
  it('are base, source, switches, effective and kernel of each field that somebody names', () => {
    const text = toldText(
      told({ cpu: 4, memory: 2 ** 27, pids: 200, 'net.external.out': null, 'block.read': null }),
    );
    expect(text).toMatch(/^cpu +0\.5 +app +sw-00000001: = 4 +4 +4$/m);
    expect(text).toMatch(/^memory +128MiB +runtime +- +128MiB +128MiB$/m);
    expect(text).toMatch(/^pids +200 +cluster +- +200 +200$/m);
    expect(text).toMatch(/^net\.external\.out +50Mbit +plan +sw-00000001: lifted +unlimited +unlimited$/m);
    expect(text).not.toContain('block.read');
    expect(text).toContain('labels     tier=web');
  });

  it('show what the kernel holds and nobody has asked for', () => {
    expect(toldText(told({ 'block.read': 1_000_000 }))).toMatch(
      /^block\.read +unlimited +none +- +unlimited +1MB\/s$/m,
    );
  });

  it('say what could not be had, and what has happened', () => {
    const text = toldText(
      told(
        {},
        {
          shortfalls: [{ field: 'memory', wanted: 2 ** 26, kernel: 2 ** 27, why: '100MiB are in use' }],
          events: [{ at: 0, text: 'cpu was changed by somebody else' }],
          cgroup: { version: 1, paths: { cpu: '/c1', memory: '/c1' } },
        },
      ),
    );
    expect(text).toContain('! memory: 64MiB is wanted, the kernel has 128MiB: 100MiB are in use');
    expect(text).toContain('1970-01-01T00:00:00Z  cpu was changed by somebody else');
    expect(text).toContain('cgroup     v1, /c1');
  });

  it('fit into a line of a list', () => {
    const short = { field: 'memory', wanted: 1, why: 'in use' } as const;
    expect(toldRow(told({}, { shortfalls: [short] }))).toEqual([
      ...['cart-1', 'eth0', 'shop', 'cpu=4 memory=128MiB pids=200', 'sw-00000001', 'partly: memory'],
    ]);
  });
});
