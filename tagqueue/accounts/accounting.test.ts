import { jest } from '@jest/globals';
import type { ApiRequest } from '../../linux/local-routes.ts';
import { SluiceError } from '../../model/errors.ts';

import { type Log, silentLog } from '../../model/log.ts';
import type { ContainerId, IfName, TenantTag } from '../../model/names.ts';
import type { UsageQuestion, UsageRow } from '../../model/usage.ts';
import { type Collector, startAccounting } from './collector.ts';
import { usageRoutes } from './routes.ts';

const NOW = Date.parse('2030-01-31T12:34:56.789Z');
const ROW: UsageRow = {
  ...{ tag: 1 as TenantTag, side: 'internal', container: 'c1' as ContainerId, ifName: 'eth1' as IfName },
  ...{ sentBytes: 2n ** 60n + 1n, sentPackets: 1n, receivedBytes: 0n, receivedPackets: 2n },
};

/** Notes what is asked of it, in order. */
function collectorOf(collect: () => void = () => {}): Collector & { asked: (UsageQuestion | 'collect')[] } {
  const asked: (UsageQuestion | 'collect')[] = [];
  return {
    asked,
    collect: () => {
      asked.push('collect');
      collect();
    },
    sum: (question) => {
      asked.push(question);
      return { rows: [ROW], more: true };
    },
    totals: () => [ROW],
    close: () => {},
  };
}

function ask(query: string, collector = collectorOf()): unknown {
  const [route] = usageRoutes(collector, () => NOW);
  return route?.handle({ query: new URLSearchParams(query) } as ApiRequest);
}

describe('GET /v1/usage', () => {
  it('collects first, and by default adds up by tenant all that is kept', () => {
    const collector = collectorOf();
    expect(ask('', collector)).toEqual({
      json: {
        by: 'tenant',
        from: '1970-01-01T00:00:00.000Z',
        to: '2030-01-31T12:34:56.790Z',
        more: true,
        rows: [
          {
            ...{ tag: 1, side: 'internal', container: 'c1', ifName: 'eth1' },
            ...{
              sentBytes: '1152921504606846977',
              sentPackets: '1',
              receivedBytes: '0',
              receivedPackets: '2',
            },
          },
        ],
      },
    });
    expect(collector.asked).toEqual([
      'collect',
      { by: 'tenant', from: 0, to: NOW + 1, tag: undefined, limit: 10_000 },
    ]);
  });

  it('takes times, a tenant by tag, and a limit', () => {
    const collector = collectorOf();
    ask('by=hour&from=2030-01-01&to=2030-01-02T03:04:05%2B01:00&tenant=7&limit=5', collector);
    expect(collector.asked[1]).toEqual({
      by: 'hour',
      from: Date.parse('2030-01-01'),
      to: Date.parse('2030-01-02T02:04:05Z'),
      ...{ tag: 7, limit: 5 },
    });
  });

  it.each([
    'by=month',
    'from=soon',
    'from=12',
    'tenant=blue',
    'tenant=0',
    'limit=0',
    'limit=1e9',
    'since=2030-01-01',
  ])('refuses %s, and says what it takes', (query) => {
    expect(() => ask(query)).toThrow(
      expect.objectContaining({ code: 'invalid_request', hint: 'it takes by, from, to, tenant, limit' }),
    );
  });
});

describe('accounting', () => {
  it('goes on when the books cannot be written, says so once, and says when it is over', () => {
    const full = new SluiceError('store_failed', 'the disk is full', 'free space');
    let fails = true;
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (fields) => void errors.push(JSON.stringify(fields)) };
    const accounting = startAccounting(
      collectorOf(() => {
        if (fails) throw full;
      }),
      () => NOW,
      log,
    );
    expect(accounting.problem()).toBe(full);
    expect(accounting.totals()).toEqual([ROW]);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('the disk is full');
    fails = false;
    accounting.totals();
    expect(accounting.problem()).toBeUndefined();
    accounting.close();
  });

  it('has no totals as long as the books cannot even be opened', () => {
    const broken = (): never => {
      throw new SluiceError('store_failed', 'damaged', 'move it away');
    };
    const accounting = startAccounting({ ...collectorOf(broken), totals: broken }, () => NOW, silentLog);
    expect(accounting.totals()).toEqual([]);
    accounting.close();
  });

  it('collects at the full five seconds of the clock, and once more when it ends', () => {
    jest.useFakeTimers({ now: NOW });
    try {
      const collector = collectorOf();
      const accounting = startAccounting(collector, Date.now, silentLog);
      expect(collector.asked).toHaveLength(1);
      jest.advanceTimersByTime(3_210);
      expect(collector.asked).toHaveLength(1);
      jest.advanceTimersByTime(1);
      expect(collector.asked).toHaveLength(2);
      jest.advanceTimersByTime(15_000);
      expect(collector.asked).toHaveLength(5);
      accounting.close();
      expect(collector.asked).toHaveLength(6);
      jest.advanceTimersByTime(60_000);
      expect(collector.asked).toHaveLength(6);
    } finally {
      jest.useRealTimers();
    }
  });
});
