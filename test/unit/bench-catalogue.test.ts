import { chooseRows, goalText, isMet, ROWS, type RowId } from '../../bench/catalogue.ts';
import { parseOptions } from '../../bench/options.ts';
import { kindsOf, planRuns } from '../../bench/paths/runs.ts';

const all = Object.keys(ROWS) as RowId[];

describe('chooseRows', () => {
  it('takes all when none is named', () => {
    expect(chooseRows([])).toEqual(all);
  });

  it('takes one by its id, without those that begin with it', () => {
    expect(chooseRows(['P5.add'])).toEqual(['P5.add']);
  });

  it('takes all of a benchmark, each once, in the order of the catalogue', () => {
    expect(chooseRows(['P2', 'P1.vxlan', 'P1'])).toEqual([
      ...['P1.twohosts', 'P1.samehost', 'P1.bridge', 'P1.vxlan', 'P1.nic', 'P1.nic.option'],
      ...['P2.twohosts', 'P2.samehost', 'P2.bridge', 'P2.vxlan'],
    ]);
  });

  it.each(['P11', 'P', '', 'P1.', 'p1', 'constructor'])('refuses %j and names what is known', (word) => {
    expect(() => chooseRows([word])).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        hint: expect.stringContaining('P1.twohosts, P1.samehost'),
      }),
    );
  });

  it.each(['P6', 'P9.p99'])('says of %s that it cannot be measured yet', (word) => {
    expect(() => chooseRows([word])).toThrow('cannot be measured yet');
  });
});

describe('goals', () => {
  it.each([
    ['P1.twohosts', 1, true],
    ['P1.twohosts', 0.999, false],
    ['P1.bridge', 0.95, true],
    ['P1.bridge', 0.949, false],
    ['P1.nic', 0.9, true],
    ['P1.nic', 0.899, false],
    ['P1.nic.option', 0.001, true],
    ['P2.samehost', 0.9, true],
    ['P2.samehost', 0.901, false],
    ['P2.bridge', 1.12, true],
    ['P3.twohosts', 1.199, false],
    ['P3.bridge', 0.9, true],
    ['P1.vxlan', 1, false],
    ['P1.vxlan', 1.001, true],
    ['P2.vxlan', 1, false],
    ['P2.vxlan', 0.999, true],
  ] as const)('%s of %d: met is %s', (id, value, met) => {
    expect(isMet(ROWS[id].goal, value, 5)).toBe(met);
  });

  it('can be the baseline, and is then missed without one', () => {
    const { goal } = ROWS['P5.add.64'];
    expect(goalText(goal)).toBe('<baseline');
    expect([isMet(goal, 4, 5), isMet(goal, 5, 5), isMet(goal, 4, undefined)]).toEqual([true, false, false]);
  });
});

describe('planRuns', () => {
  it('measures our path once for two rows that share it', () => {
    const runs = planRuns(new Set<RowId>(['P1.twohosts', 'P1.vxlan']));
    expect(runs).toEqual([
      {
        ...{ benchmark: 'P1', distance: 'twohosts' },
        rows: [
          { id: 'P1.twohosts', subject: 'ours', against: 'plain' },
          { id: 'P1.vxlan', subject: 'ours', against: 'vxlan' },
        ],
      },
    ]);
    expect(kindsOf(runs)).toEqual(['ours', 'plain', 'vxlan']);
  });

  it('builds no tunnel that nobody measures', () => {
    expect(kindsOf(planRuns(new Set<RowId>(['P3.samehost', 'P2.twohosts'])))).toEqual(['ours', 'plain']);
  });

  it('measures the cards with each other, and builds nothing else for them', () => {
    expect(kindsOf(planRuns(new Set<RowId>(['P1.nic', 'P1.nic.option'])))).toEqual([
      ...['nic-vxlan', 'nic-plain', 'nic-option'],
    ]);
  });

  it('serves every row of P1 to P3, and no other', () => {
    const served = planRuns(new Set(all)).flatMap(({ rows }) => rows.map(({ id }) => id));
    expect(new Set(served)).toEqual(new Set(all.filter((id) => /^P[123]\./.test(id))));
  });
});

describe('the command line', () => {
  it('takes lists of ids, repeated or with commas', () => {
    const given = ['--only', 'P5.add, P10', '--only=P5.del', '--json', 'f', '--rounds', '4', '--seconds=1'];
    expect(parseOptions(given)).toEqual({
      ...{ rows: ['P5.add', 'P5.del', 'P10.memory'], jsonFile: 'f', rounds: 4, seconds: 1 },
    });
  });

  it('measures everything, five times, for two seconds', () => {
    expect(parseOptions([])).toEqual({ rows: all, jsonFile: undefined, rounds: 5, seconds: 2 });
  });

  it.each([
    ['--rounds', '0'],
    ['--rounds', '21'],
    ['--seconds', '1.5'],
    ['--seconds', ''],
    ['--fast'],
    ['P1'],
  ])('refuses %j %j', (...args) => {
    expect(() => parseOptions(args)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
  });

  it('helps', () => {
    expect(parseOptions(['--help'])).toBeUndefined();
  });
});
