import type { TenantTag } from '../../model/names.ts';
import type { TenantTotal } from '../../model/usage.ts';
import { usageMetricsText } from './metrics.ts';

it('usageMetricsText names tenants where they are known, and has every figure to the last digit', () => {
  const total: Omit<TenantTotal, 'tag'> = {
    ...{
      side: 'external',
      sentBytes: 2n ** 60n + 1n,
      sentPackets: 3n,
      receivedBytes: 0n,
      receivedPackets: 4n,
    },
  };
  const text = usageMetricsText(
    [
      { tag: 1 as TenantTag, ...total },
      { tag: 2 as TenantTag, ...total },
    ],
    (tag) => (tag === 1 ? 'blue' : null),
  );
  expect(text.split('\n').filter((line) => !line.startsWith('#'))).toEqual([
    'sluice_usage_bytes_total{tenant="blue",side="external",direction="sent"} 1152921504606846977',
    'sluice_usage_bytes_total{tenant="blue",side="external",direction="received"} 0',
    'sluice_usage_bytes_total{tenant="2",side="external",direction="sent"} 1152921504606846977',
    'sluice_usage_bytes_total{tenant="2",side="external",direction="received"} 0',
    'sluice_usage_packets_total{tenant="blue",side="external",direction="sent"} 3',
    'sluice_usage_packets_total{tenant="blue",side="external",direction="received"} 4',
    'sluice_usage_packets_total{tenant="2",side="external",direction="sent"} 3',
    'sluice_usage_packets_total{tenant="2",side="external",direction="received"} 4',
    '',
  ]);
});
