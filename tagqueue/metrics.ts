/** The plane's counters in the text format of Prometheus. */

export interface PlaneCounters {
  readonly drops: readonly { readonly reason: string; readonly packets: number }[];
  /** Packets that got a tag, and packets whose tag was believed. */
  readonly tagged: number;
  readonly verified: number;
  readonly guarded: boolean;
}

/** The content type that goes with the text. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** The counters live in the kernel with the plane: they go on where a daemon left off. */
export function metricsText({ drops, tagged, verified, guarded }: PlaneCounters): string {
  const lines = [
    '# HELP sluice_tagqueue_drops_total Packets refused, by reason.',
    '# TYPE sluice_tagqueue_drops_total counter',
    ...drops.map(({ reason, packets }) => `sluice_tagqueue_drops_total{reason="${reason}"} ${packets}`),
    '# HELP sluice_tagqueue_packets_total Packets between nodes: tagged on the way out, verified on the way in.',
    '# TYPE sluice_tagqueue_packets_total counter',
    `sluice_tagqueue_packets_total{what="tagged"} ${tagged}`,
    `sluice_tagqueue_packets_total{what="verified"} ${verified}`,
    '# HELP sluice_tagqueue_uplink_guarded 1 when the uplink tags and checks tags.',
    '# TYPE sluice_tagqueue_uplink_guarded gauge',
    `sluice_tagqueue_uplink_guarded ${guarded ? 1 : 0}`,
  ];
  return `${lines.join('\n')}\n`;
}
