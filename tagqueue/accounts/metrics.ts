/** The totals of usage in the text format of Prometheus. By tenant only: endpoints come and go, and would pile up. */
import type { TenantTag } from '../../model/names.ts';
import type { TenantTotal } from '../../model/usage.ts';

/** @param nameOf  null for a tenant that is not known (any more), who then goes by tag */
export function usageMetricsText(
  totals: readonly TenantTotal[],
  nameOf: (tag: TenantTag) => string | null,
): string {
  const lines = (what: 'Bytes' | 'Packets'): string[] =>
    totals.flatMap((total) =>
      (['sent', 'received'] as const).map((direction) => {
        const labels = `tenant="${nameOf(total.tag) ?? total.tag}",side="${total.side}",direction="${direction}"`;
        return `sluice_usage_${what.toLowerCase()}_total{${labels}} ${total[`${direction}${what}`]}`;
      }),
    );
  return [
    '# HELP sluice_usage_bytes_total Bytes that containers of a tenant have sent and received on this node.',
    '# TYPE sluice_usage_bytes_total counter',
    ...lines('Bytes'),
    '# HELP sluice_usage_packets_total Packets that containers of a tenant have sent and received on this node.',
    '# TYPE sluice_usage_packets_total counter',
    ...lines('Packets'),
    '',
  ].join('\n');
}
