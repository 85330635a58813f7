import fc from 'fast-check';
import { alternate, turned } from '../../bench/alternate.ts';
import { ourChain, referenceChain } from '../../bench/cni/chains.ts';
import type { Machine } from '../../bench/machine.ts';
import { parseRollup } from '../../bench/memory/processes.ts';
import { ratioOf, rowOf } from '../../bench/rows.ts';
import { renderTable } from '../../bench/table.ts';

const machine: Machine = {
  cpu: 'Some CPU',
  cpus: 2,
  memoryBytes: 4e9,
  kernel: '6.1',
  node: '24.0.0',
  load: 0.5,
};

describe('a row', () => {
  const row = rowOf(ratioOf('P1.twohosts', [8, 9, 10], [10, 10, 10]), machine);

  it('has the median of the ratios of the rounds, and both sides', () => {
    expect(row).toEqual({
      ...{ id: 'P1.twohosts', value: 0.9, unit: 'ratio', goal: '>=1', met: false, rounds: [0.8, 0.9, 1] },
      ...{ baseline: 10, ours: 9, machine },
      details: { measuredIn: 'Gbit/s', samples: { ours: [8, 9, 10], baseline: [10, 10, 10] } },
    });
  });

  it('survives JSON, also without a baseline', () => {
    const alone = rowOf(
      { id: 'P10.memory', value: 80, rounds: [80], ours: 80, baseline: undefined },
      machine,
    );
    expect(JSON.parse(JSON.stringify(alone))).toEqual(alone);
    expect(alone).toMatchObject({ baseline: null, met: true });
  });

  it('does not meet a goal by being rounded', () => {
    const close = { id: 'P5.add', value: 8.0001, rounds: [8], ours: 8, baseline: 80 } as const;
    expect(rowOf(close, machine)).toMatchObject({ value: 8, met: false });
  });
});

describe('the table', () => {
  const missed = rowOf(ratioOf('P1.twohosts', [8, 9, 10], [10, 10, 10]), machine);
  const met = rowOf(ratioOf('P3.vxlan', [200_000, 300_000], [100_000, 100_000]), machine);
  const table = renderTable([missed, met], machine);

  it('shows ratio, spread and both sides of each row', () => {
    expect(table).toMatch(/P1\.twohosts .* 0\.90 +>=1 +MISSED +0\.80 +0\.90 +1\.00 +9\.00 +10\.00 +Gbit\/s/);
    expect(table).toMatch(/P3\.vxlan .* 2\.50 +>1 +met +2\.00 +2\.50 +3\.00 +250,000 +100,000 +packets\/s/);
  });

  it('says how many goals were missed, and on which machine', () => {
    expect(table).toContain('1 of 2 goals missed; 2 × Some CPU, Linux 6.1, Node 24.0.0');
    expect(renderTable([met], machine)).toContain('all 1 goals met');
  });
});

describe('alternate', () => {
  it('measures everybody in every round, and lets each go first in turn', async () => {
    const order: string[] = [];
    const rival = (name: string) => [name, async () => order.push(name)] as const;
    const samples = await alternate(3, new Map([rival('a'), rival('b')]), () => undefined);
    expect(order.join('')).toBe('abbaab');
    expect(samples).toEqual(
      new Map([
        ['a', [1, 4, 5]],
        ['b', [2, 3, 6]],
      ]),
    );
  });

  it('turns a list without losing anything', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.nat(100), (list, by) => {
        expect(turned(turned(list, by), list.length - (by % (list.length || 1)))).toEqual(list);
      }),
    );
  });
});

describe('the chains', () => {
  it('are asked for the same rates and ports', () => {
    const [ours] = ourChain('/x/sluice-cni', '/run/sluice', 'blue', { port: true });
    const reference = referenceChain('/tmp/ipam', { port: true });
    const of = (type: string) => reference.find(({ conf }) => conf['type'] === type)?.conf['runtimeConfig'];
    expect(ours?.conf['runtimeConfig']).toEqual({
      ...(of('bandwidth') as object),
      ...(of('portmap') as object),
    });
  });

  it('publish nothing when no port is wanted', () => {
    const chains = [
      ourChain('/x/sluice-cni', '/r', 'blue', { port: false }),
      referenceChain('/i', { port: false }),
    ];
    expect(JSON.stringify(chains)).not.toContain('hostPort');
  });
});

it('reads the sums of a process in bytes', () => {
  const text =
    '55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:           1000 kB\nPss:             10 kB\n';
  expect(parseRollup(text)).toEqual(
    new Map([
      ['Rss', 1_024_000],
      ['Pss', 10_240],
    ]),
  );
});
