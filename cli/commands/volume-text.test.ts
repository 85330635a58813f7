import {
  AT,
  GIB,
  NO_FLOW,
  sampleMount,
  sampleShown,
  sampleVolume,
} from '../../test/support/sample-volume.ts';
import { deletedText } from './volume-ends.ts';
import { theOne } from './volume-find.ts';
import { linesOf, track } from './volume-rates.ts';
import { recoveredText } from './volume-recover.ts';
import { durationText, listText, rateText, shownText, stateText, statsText } from './volume-text.ts';

const seen = (mount: object, at = AT): object => ({ node: 'b', at, mount: sampleMount(mount) });

describe('a volume in words', () => {
  it('says what it is, how full, and how each brick and mount does', () => {
    const text = shownText(sampleShown({ mounts: [seen({ replaced: 2 })] }));
    expect(text).toMatch(/^volume {2}shared \(v0123456789ab\) of tenant shop$/m);
    expect(text).toMatch(/^state {3}ready$/m);
    expect(text).toMatch(/^size {4}10GiB; used 2\.5 GiB, 25\.0 %; 10 of 1000 files and directories$/m);
    expect(text).toMatch(
      /^limits {2}each mount: read 20MB\/s\n {8}all of a node together: nothing is said$/m,
    );
    expect(text).toMatch(/^healing nothing is pending$/m);
    expect(text).toMatch(/^0 +a +192\.0\.2\.1 +data +5GiB +25\.0 % +ready +serves$/m);
    expect(text).toMatch(/^b +c0ffee012345 +\/data +m0123456789ab +mounted +2 +unlimited$/m);
  });

  it('says loudly what its owner should know', () => {
    const single = sampleVolume({ layout: 'single', bricks: sampleVolume().bricks.slice(0, 1) });
    const text = shownText(sampleShown({ warnings: ['it is not redundant'] }, single));
    expect(text).toMatch(/^layout {2}single: one brick, NOT redundant/m);
    expect(text).toMatch(/^! it is not redundant$/m);
    const split = { ...sampleShown().report, heal: { pending: 3, splitBrain: 1 } };
    expect(shownText(sampleShown({ report: split }))).toMatch(
      /^healing 3 files have still to be brought up to date; 1 files have copies that CONTRADICT each other$/m,
    );
  });

  it('says what happened to it, and when', () => {
    const events = [{ at: AT, volume: 'v0123456789ab', what: 'brick-down', text: 'brick 1 on b is down' }];
    expect(shownText(sampleShown({ events }))).toMatch(/^2030-01-31T12:00:00Z {2}brick 1 on b is down$/m);
  });

  it('has a word for every state', () => {
    const bricks = sampleShown().bricks.map((one, index) => ({ ...one, online: index !== 1 }));
    expect(stateText(sampleShown({ bricks }))).toBe('ready, 1 of 4 bricks are down');
    const unknown = bricks.map((one) => ({ ...one, online: null }));
    expect(stateText(sampleShown({ bricks: unknown }))).toBe('ready');
    expect(stateText(sampleShown({ reachable: false }))).toBe('ready, not heard of lately');
    const stopped = { ...sampleShown().report, state: 'stopped', why: 'no quorum' };
    expect(stateText(sampleShown({ report: stopped }))).toBe('ready, but stopped: no quorum');
    const half = sampleShown().bricks.map((one, index) => (index < 2 ? one : { ...one, brick: null }));
    const creating = sampleVolume({ phase: 'creating' });
    expect(stateText(sampleShown({ bricks: half, report: null }, creating))).toBe(
      'being made: 2 of 4 bricks are there',
    );
    const failed = half.map((one) =>
      one.brick === null ? one : { ...one, brick: { ...one.brick, state: 'failed', why: 'no room' } },
    );
    expect(stateText(sampleShown({ bricks: failed }, creating))).toBe('being made: node a: no room');
    const deleted = sampleVolume({ phase: 'deleted', removeAt: AT });
    expect(stateText(sampleShown({}, deleted))).toBe('deleted, kept until 2030-01-31T12:00:00Z');
    expect(stateText(sampleShown({}, sampleVolume({ phase: 'removing' })))).toBe('being removed');
  });

  it('is a line of a list', () => {
    const text = listText([sampleShown({ mounts: [seen({})], warnings: ['near full'] })]);
    expect(text).toMatch(/^shared +shop +v0123456789ab +10GiB +25\.0 % +two-by-two +1 +ready +! 1 warning$/m);
    expect(listText([])).toMatch(/sluice volume create/);
  });

  it('that is deleted says until when it can be had back', () => {
    const deleted = sampleShown({}, sampleVolume({ phase: 'deleted', removeAt: AT }));
    expect(deletedText(deleted)).toMatch(
      /kept until 2030-01-31T12:00:00Z\n.*sluice volume undelete v0123456789ab/,
    );
    expect(deletedText(sampleShown({}, sampleVolume({ phase: 'removing' })))).toMatch(/and its data with it/);
  });
});

describe('what mounts do, in words', () => {
  it('is a row of rates, latencies, waiting and queue for each', () => {
    const read = { ...NO_FLOW, ops: 150, bytes: 19.96e6, throttledMs: 350, queued: 2, latency: [0, 148, 2] };
    const statistics = { limits: {}, read, write: NO_FLOW, metadata: NO_FLOW };
    const [before, after] = [sampleShown({ mounts: [seen({})] }), [seen({ statistics }, AT + 1_000)]];
    const shown = sampleShown({ mounts: after });
    const tracks = track(track(new Map(), before.mounts, 0), shown.mounts, 1_000);
    expect(statsText(shown, linesOf(tracks, 1_000))).toMatch(
      /^b +c0ffee012345 +20\.0 MB\/s +150 +2 µs +4 µs +0 B\/s +0 +- +- +0 +350\.0 ms\/s +2$/m,
    );
  });

  it('is said to be unknown where a client is dead, or nothing was heard', () => {
    const shown = sampleShown({ mounts: [seen({ statistics: null, state: 'broken' })] });
    expect(statsText(shown, linesOf(track(new Map(), shown.mounts, 0), 0))).toMatch(/BROKEN/);
    const healthy = sampleShown({ mounts: [seen({})] });
    const lines = linesOf(track(new Map(), healthy.mounts, 0), 7_000);
    expect(statsText(healthy, lines)).toMatch(/not heard of for 7 s$/m);
    expect(statsText(sampleShown(), [])).toMatch(/no container has it mounted/);
  });

  it('is written in units that fit', () => {
    expect([999, 20e6, 1.5e9].map(rateText)).toEqual(['999 B/s', '20.0 MB/s', '1.5 GB/s']);
    expect([512, 2_048, 4_194_304].map(durationText)).toEqual(['512 µs', '2.0 ms', '4.2 s']);
  });
});

describe('a volume that is meant', () => {
  const red = sampleShown({}, sampleVolume({ tenant: 'red', id: 'v0123456789ac' }));

  it('is the one of that name; what is going does not count where one stays', () => {
    const going = sampleShown({}, sampleVolume({ phase: 'removing', id: 'v0123456789ad' }));
    expect(theOne([going, sampleShown()], 'shared', undefined).volume.id).toBe('v0123456789ab');
    expect(theOne([going], 'shared', undefined).volume.id).toBe('v0123456789ad');
  });

  it('must be one', () => {
    expect(() => theOne([], 'shared', 'shop')).toThrow('there is no volume shared of tenant shop');
    expect(() => theOne([sampleShown(), red], 'shared', undefined)).toThrow('2 tenants have a volume shared');
  });
});

describe('files that were recovered, in words', () => {
  it('are counted, and what was left out is named with the reason', () => {
    const refused = [{ path: '/orders.db', why: 'its copies contradict each other' }];
    expect(recoveredText({ files: 12, bytes: 3 * GIB, refused }, '/srv/back')).toBe(
      '12 files, 3.0 GiB, are in /srv/back\n1 file left out:\n  /orders.db: its copies contradict each other',
    );
  });
});
