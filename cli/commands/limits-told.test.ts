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
    ...{ fields, shortfalls: [], events: [], cgroup: null, statistics: null, mounts: [], ...more },
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

  it('are told of each mount by itself', () => {
    const field = { field: 'volume.read', base: 20e6, steps: [], effective: 20e6 } as const;
    const mount = { volume: 'v000000000001', name: 'shared', directory: '/data', unread: false };
    const text = toldText(
      told(
        { 'volume.read': 1e6 },
        {
          mounts: [
            { ...mount, fields: [{ ...field, source: 'volume', kernel: 20e6 }] },
            { ...mount, name: null, directory: null, unread: true, fields: [] },
          ],
          shortfalls: [{ field: 'volume.read', wanted: 2e7, kernel: 1e6, why: 'volume shared: it is away' }],
        },
      ),
    );
    expect(text).toMatch(/^volume {5}shared at \/data$/m);
    expect(text).toMatch(
      /^FIELD +BASE +FROM +SWITCHES +EFFECTIVE +CLIENT\nvolume\.read +20MB\/s +volume +- +20MB\/s +20MB\/s$/m,
    );
    expect(text).toMatch(/^volume {5}v000000000001: its client cannot be asked now\nnothing is limited$/m);
    expect(text).toContain('volume.read: 20MB/s is wanted, its client has 1MB/s: volume shared: it is away');
    expect(text.match(/^volume\.read/gm)).toHaveLength(1);
  });

  it('fit into a line of a list', () => {
    const short = { field: 'memory', wanted: 1, why: 'in use' } as const;
    expect(toldRow(told({}, { shortfalls: [short] }))).toEqual([
      ...['cart-1', 'eth0', 'shop', 'cpu=4 memory=128MiB pids=200', 'sw-00000001', 'partly: memory'],
    ]);
  });
});
