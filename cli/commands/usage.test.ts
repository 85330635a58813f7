import type { UsageAnswer } from '../../tagqueue/accounts/routes.ts';
import { humanBytes, usageText } from './usage.ts';
import { parseTime } from './when.ts';

const NOW = Date.parse('2030-01-31T12:34:56.789Z');

describe('parseTime', () => {
  it.each([
    ['now', '2030-01-31T12:34:56.789Z'],
    ['today', '2030-01-31T00:00:00.000Z'],
    ['yesterday', '2030-01-30T00:00:00.000Z'],
    ['90m', '2030-01-31T11:04:56.789Z'],
    ['24h', '2030-01-30T12:34:56.789Z'],
    ['2w', '2030-01-17T12:34:56.789Z'],
    ['2030-01-02', '2030-01-02T00:00:00.000Z'],
    ['2030-01-02T03:04', '2030-01-02T03:04:00.000Z'],
    ['2030-01-02T03:04:05', '2030-01-02T03:04:05.000Z'],
    ['2030-01-02T03:04:05Z', '2030-01-02T03:04:05.000Z'],
    ['2030-01-02T03:04+02:00', '2030-01-02T01:04:00.000Z'],
  ])('reads %s', (text, time) => {
    expect(new Date(parseTime(text, NOW)).toISOString()).toBe(time);
  });

  it.each(['', 'soon', '24', '24x', '-3h', '1', '2030', '2030-13-01', '01/02/2030', '9999999d'])(
    'refuses %j',
    (text) => {
      expect(() => parseTime(text, NOW)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
    },
  );
});

it.each([
  [0n, '0 B'],
  [1023n, '1023 B'],
  [1024n, '1.0 KiB'],
  [1536n, '1.5 KiB'],
  [2n ** 20n - 1n, '1.0 MiB'],
  [3n * 2n ** 30n, '3.0 GiB'],
  [2n ** 62n, '4.0 EiB'],
])('humanBytes shows %s as %s', (bytes, text) => {
  expect(humanBytes(bytes)).toBe(text);
});

describe('usageText', () => {
  const counters = { sentBytes: '2048', sentPackets: '3', receivedBytes: '10', receivedPackets: '1' };
  const answer = (by: UsageAnswer['by'], row: object, more = false): UsageAnswer =>
    ({
      by,
      from: '',
      to: '',
      more,
      rows: [{ tag: 1, side: 'internal', ...counters, ...row }],
    }) as UsageAnswer;

  it('has a line for each tenant and side', () => {
    expect(usageText(answer('tenant', {}), new Map([[1, 'blue']])).split('\n')).toEqual([
      'TENANT  SIDE      SENT     PACKETS  RECEIVED  PACKETS',
      'blue    internal  2.0 KiB  3        10 B      1',
    ]);
  });

  it('shows the tag where the tenant is not known', () => {
    expect(usageText(answer('tenant', {}), new Map())).toContain('tag 1');
  });

  it('shows endpoints and hours', () => {
    expect(usageText(answer('endpoint', { container: 'c1', ifName: 'eth1' }), new Map())).toMatch(
      /c1 +eth1 +tag 1/,
    );
    expect(usageText(answer('hour', { hour: '2030-01-31T12:00:00.000Z' }), new Map())).toContain(
      '2030-01-31T12:00Z',
    );
  });

  it('says when there is more, and when there is nothing', () => {
    expect(usageText(answer('tenant', {}, true), new Map())).toContain('… and more');
    expect(usageText({ ...answer('tenant', {}), rows: [] }, new Map())).toBe('nothing was sent or received');
  });
});
