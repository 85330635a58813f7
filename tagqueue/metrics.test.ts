import { metricsText } from './metrics.ts';

describe('the metrics', () => {
  it('are in the text format, with a help and a type line for each name', () => {
    const drops = [
      { reason: 'untagged', packets: 3 },
      { reason: 'tag_forged', packets: 0 },
    ];
    const text = metricsText({ drops, tagged: 10, verified: 9, guarded: true });
    expect(text.split('\n').filter((line) => !line.startsWith('#'))).toEqual([
      'sluice_tagqueue_drops_total{reason="untagged"} 3',
      'sluice_tagqueue_drops_total{reason="tag_forged"} 0',
      'sluice_tagqueue_packets_total{what="tagged"} 10',
      'sluice_tagqueue_packets_total{what="verified"} 9',
      'sluice_tagqueue_uplink_guarded 1',
      '',
    ]);
    for (const name of new Set(text.match(/^sluice_\w+/gm))) {
      expect(text).toMatch(new RegExp(`^# HELP ${name} .+\\n# TYPE ${name} (counter|gauge)$`, 'm'));
    }
  });
});
