import type { NodeName } from '../../model/names.ts';
import { CHECK_IDS } from './catalog.ts';
import { type Check, renderReport, reportOf, type Verdict } from './report.ts';

const check = (got: Verdict, expect: 'pass' | 'drop' = 'drop'): Check => ({
  ...{ id: 'forged-tag', from: 'blue/b1', to: 'blue/b3', path: 'wire', expect, got, ms: 0.2 },
  ...(got === 'untested' && { note: 'there is no other node' }),
});
const report = (...checks: Check[]) => reportOf('n1' as NodeName, 'ebpf', checks);

describe('a report', () => {
  it('is ok when everything is as expected', () => {
    expect(report(check('drop'), check('pass', 'pass')).ok).toBe(true);
  });

  it.each<[Verdict]>([['pass'], ['error']])('is not ok when a drop was expected and it was %s', (got) => {
    expect(report(check('drop'), check(got)).ok).toBe(false);
  });

  it('says nothing about what was not tested', () => {
    expect(report(check('drop'), check('untested')).ok).toBe(true);
  });

  it('is not ok when nothing was tested', () => {
    expect(report().ok).toBe(false);
    expect(report(check('untested')).ok).toBe(false);
  });

  it('shows failures, notes and a summary to people', () => {
    const text = renderReport(report(check('drop'), check('pass'), check('untested')));
    expect(text).toMatch(/^✓ forged tag +blue\/b1 +blue\/b3 +wire +drop +drop +0\.20$/m);
    expect(text).toMatch(/^✗ forged tag .* drop +pass +0\.20$/m);
    expect(text).toContain('      there is no other node');
    expect(text).toContain(
      'does NOT stand as it should. node n1, plane ebpf: 1 of 2 checks as expected, 1 untested',
    );
  });
});

describe('the catalogue', () => {
  it('has the ids that outside checks rely on', () => {
    const fixed = [
      ...[
        'same-tenant-same-host',
        'other-tenant-same-host',
        'same-tenant-two-hosts',
        'other-tenant-two-hosts',
      ],
      ...['forged-tag', 'untagged-from-wire', 'spoofed-mac', 'spoofed-ip', 'arp-spoof'],
      ...['internet-egress', 'published-port', 'host-unreachable'],
    ];
    expect(CHECK_IDS).toEqual(fixed);
  });
});
