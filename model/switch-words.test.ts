import { changesText } from './change-text.ts';
import { type TimeWords, timesOf } from './switch-times.ts';
import { type ChangeWords, changesOf, selectorOf, selectorText } from './switch-words.ts';

describe('the words of a selector', () => {
  it.each([
    [['tenant=shop'], { tenant: ['shop'] }],
    [['tenant=shop,app=cart|pay'], { tenant: ['shop'], app: ['cart', 'pay'] }],
    [['tenant=shop', 'node=a'], { tenant: ['shop'], node: ['a'] }],
    [['label.tier=web,label.disk=ssd|nvme'], { labels: { tier: ['web'], disk: ['ssd', 'nvme'] } }],
    [['instance=cart-1, zone=hall-2'], { instance: ['cart-1'], zone: ['hall-2'] }],
    [['all'], {}],
  ])('%j are understood, and said back', (words, select) => {
    expect(selectorOf(words)).toEqual(select);
    expect(selectorOf([selectorText(selectorOf(words))])).toEqual(select);
  });

  it.each([
    [[''], /chooses nothing/, /tenant=shop/],
    [['shop'], /"shop" chooses nothing/, /tenant=shop/],
    [['tenant='], /nothing behind/, /tenant=shop/],
    [['tenant=shop|'], /must be a name/, /tenant=shop/],
    [['tenant=shop,'], /"" chooses nothing/, /tenant=shop/],
    [['container=c1'], /not chosen by container/, /say instance=/],
    [['labels=web'], /not chosen by labels/, /say label\.NAME=/],
    [['label.=web'], /not chosen by label\./, /label\.NAME/],
    [['colour=red'], /not chosen by colour/, /keys are tenant/],
    [['tenant=a,tenant=b'], /tenant is named twice/, /ONE\|OTHER/],
    [['label.x=a', 'label.x=b'], /label\.x is named twice/, /ONE\|OTHER/],
    [['all,tenant=shop'], /"all" chooses nothing/, /all/],
    [['app=a b'], /app.*must be a name/, /app/],
  ])('%j are refused', (words, message, hint) => {
    expect(() => selectorOf(words)).toThrow(
      expect.objectContaining({
        ...{
          code: 'invalid_request',
          message: expect.stringMatching(message),
          hint: expect.stringMatching(hint),
        },
      }),
    );
  });
});

describe('the words of changes', () => {
  it.each<[ChangeWords, string]>([
    [{ lift: ['net.external.out'] }, 'net.external.out lifted'],
    [{ lift: ['net.external,cpu'] }, 'cpu lifted, net.external.in lifted, net.external.out lifted'],
    // A weight limits nothing: a group leaves it out.
    [
      { lift: ['block'] },
      'block.read lifted, block.write lifted, block.readOps lifted, block.writeOps lifted',
    ],
    [{ lift: ['cpu.weight'] }, 'cpu.weight lifted'],
    [{ set: ['cpu=4,memory=2GiB'] }, 'cpu = 4, memory = 2GiB'],
    [{ set: ['cpu.set=0-3,7,cpu=2'] }, 'cpu = 2, cpu.set = 0-3,7'],
    [{ set: ['net.external=10Mbit'] }, 'net.external.in = 10Mbit, net.external.out = 10Mbit'],
    [{ set: ['cpu=unlimited'] }, 'cpu = unlimited'],
    [{ scale: ['cpu=2', 'memory=1.5'] }, 'cpu × 2, memory × 1.5'],
    [{ lift: ['pids'], set: ['cpu=1'], scale: ['memory=0.5'] }, 'cpu = 1, memory × 0.5, pids lifted'],
  ])('%j are understood', (words, text) => {
    expect(changesText(changesOf(words) ?? {})).toBe(text);
  });

  it('may be none: a preset can say them', () => {
    expect(changesOf({})).toBeUndefined();
  });

  it.each<[ChangeWords, RegExp, RegExp]>([
    [{ lift: ['net.sideways'] }, /no limit "net\.sideways"/, /fields are/],
    [{ lift: [''] }, /no limit ""/, /fields are/],
    [{ lift: ['cpu=4'] }, /what is lifted has no value/, /say --set cpu=4/],
    [{ set: ['cpu'] }, /no field with a value/, /--set cpu=4/],
    [{ set: ['memory=2G'] }, /memory: "2G"/, /2GiB/],
    [{ set: ['cpu=-1'] }, /no quantity/, /0\.5/],
    [{ set: ['block=50MB/s'] }, /block\.readOps: /, /500/],
    [{ set: ['cpus=1'] }, /no limit "cpus"/, /fields are cpu/],
    [{ scale: ['cpu=0'] }, /cannot be scaled by "0"/, /0\.5 for half/],
    [{ scale: ['cpu=-2'] }, /cannot be scaled by "-2"/, /0\.5 for half/],
    [{ scale: ['cpu=2x'] }, /cannot be scaled by "2x"/, /0\.5 for half/],
    [{ scale: ['cpu=1001'] }, /cannot be scaled by "1001"/, /0\.5 for half/],
    [{ scale: ['cpu.set=2'] }, /a list of CPUs cannot be scaled/, /docs\/limits\.md/],
    [{ lift: ['cpu'], set: ['cpu=4'] }, /cpu lifted, and cpu = 4/, /one thing of each field/],
    [{ set: ['net.external.out=1Mbit'], scale: ['net=2'] }, /net\.external\.out = 1Mbit, and/, /one thing/],
    [{ set: ['cpu=4', 'cpu=4'] }, /named twice/, /one thing/],
  ])('%j are refused', (words, message, hint) => {
    expect(() => changesOf(words)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(message), hint: expect.stringMatching(hint) }),
    );
  });
});

describe('the words of times', () => {
  const NOW = Date.UTC(2026, 10, 21, 10, 0);
  const HOUR = 3_600_000;
  it.each<[TimeWords, object]>([
    [{}, { repeat: null }],
    [{ for: '6h' }, { forMs: 6 * HOUR, repeat: null }],
    [
      { from: '+1h', until: '+3h' },
      { from: NOW + HOUR, until: NOW + 3 * HOUR, repeat: null },
    ],
    [{ until: '2026-11-22T07:00Z' }, { until: NOW + 21 * HOUR, repeat: null }],
    [{ until: '2026-11-22T08:00:00+01:00' }, { until: NOW + 21 * HOUR, repeat: null }],
    [
      { until: '2026-11-22T08:00', zone: 'Europe/Paris' },
      { until: NOW + 21 * HOUR, repeat: null },
    ],
    [
      { from: 'now', for: '30s' },
      { from: NOW, forMs: 30_000, repeat: null },
    ],
    [
      { every: '0 23 * * *', for: '6h', zone: 'Europe/Paris', until: '+30d' },
      {
        until: NOW + 30 * 24 * HOUR,
        repeat: { cron: '0 23 * * *', forMs: 6 * HOUR, zone: 'Europe/Paris' },
      },
    ],
  ])('%j are understood', (words, times) => {
    expect(timesOf(words, NOW)).toEqual(times);
  });

  it.each<[TimeWords, RegExp, RegExp]>([
    [{ for: '6' }, /no length of time/, /6h/],
    [{ for: '-6h' }, /no length of time/, /6h/],
    [{ for: '0s' }, /shorter than a second/, /30s/],
    [{ for: '6h', until: '+6h' }, /both/, /or/],
    [{ until: '2026-11-22T07:00' }, /another time on every continent/, /2026-11-22T07:00Z/],
    [{ until: '2026-11-22' }, /no time/, /2030-01-31T12:00Z/],
    [{ until: '2026-02-30T07:00Z' }, /no time/, /2030/],
    [{ until: 'tomorrow' }, /no time/, /\+2h/],
    [{ until: '+2' }, /no length of time/, /6h/],
    [{ until: '2026-11-20T07:00Z' }, /has passed/, /still to come/],
    [{ from: '+2h', until: '+1h' }, /before --from/, /after/],
    [{ every: '0 23 * * *', until: '+7d' }, /how long they stay/, /--for 6h/],
    [{ every: '0 23 * * *', for: '6h' }, /until somebody says/, /--until/],
    [{ every: '0 23 * *', for: '6h', until: '+7d' }, /five fields/, /0 23/],
    [{ for: '6h', zone: 'Paris' }, /no time zone/, /Europe\/Paris/],
  ])('%j are refused', (words, message, hint) => {
    expect(() => timesOf(words, NOW)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(message), hint: expect.stringMatching(hint) }),
    );
  });
});
