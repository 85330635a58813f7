/** What the probes have shown, in the text format of Prometheus. */
import { PROBE_KINDS } from '../../model/fence-probe.ts';
import type { Findings } from './findings.ts';
import { OUTCOMES } from './judge.ts';

export function probeMetricsText({ counts, report }: Pick<Findings, 'counts' | 'report'>): string {
  const { peers, failures } = report();
  const series = Object.keys(PROBE_KINDS).flatMap((kind) =>
    OUTCOMES.flatMap((outcome) => {
      const count = counts.get(`${kind}/${outcome}`);
      return count === undefined
        ? []
        : [`sluice_fence_probes_total{kind="${kind}",outcome="${outcome}"} ${count}`];
    }),
  );
  const lines = [
    '# HELP sluice_fence_probes_total Probes sent to other nodes, by kind and by what became of them.',
    '# TYPE sluice_fence_probes_total counter',
    ...series,
    '# HELP sluice_fence_probe_failures What is wrong with the fence at present, as probes have shown.',
    '# TYPE sluice_fence_probe_failures gauge',
    `sluice_fence_probe_failures ${failures.length}`,
    '# HELP sluice_fence_probe_peers Other nodes, by how their last round of probes went.',
    '# TYPE sluice_fence_probe_peers gauge',
    ...Object.entries(peers).map(([state, number]) => `sluice_fence_probe_peers{state="${state}"} ${number}`),
  ];
  return `${lines.join('\n')}\n`;
}
