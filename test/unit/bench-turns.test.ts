import { turnsOf } from '../../bench/volumes/off.ts';

const TURN = 32;
/** A line of fio's log: time, nanoseconds, direction, bytes, offset. */
const operation = (us: number): string => `1, ${us * 1_000}, 0, 4096, 0`;
const turn = (us: number): string[] => Array<string>(TURN).fill(operation(us));
const WARM_UP = Array<string>(10 * 3 * TURN).fill(operation(1_000));

describe('the turns of a log', () => {
  it('belong to each rival in its place, in seconds, without what comes first and what is no whole one', () => {
    const log = [...WARM_UP, ...turn(10), ...turn(20), ...turn(30), ...turn(11), ...turn(21), ...turn(31)];
    const turns = turnsOf([...log, ...turn(99)].join('\n'), ['plain', 'twin', 'ours']);
    const seconds = (...us: number[]): unknown[] => us.map((one) => expect.closeTo((one * TURN) / 1e6, 9));
    expect(turns).toEqual({ plain: seconds(10, 11), twin: seconds(20, 21), ours: seconds(30, 31) });
  });

  it('are missed when there are none', () => {
    expect(() => turnsOf(WARM_UP.join('\n'), ['ours', 'plain', 'twin'])).toThrow('too few');
  });
});
