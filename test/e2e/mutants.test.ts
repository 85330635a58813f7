/** Each check of the fence is needed: with its programs built without it, `sluice verify` fails in exactly that check. */
import type { CheckId } from '../../cli/verify/catalog.ts';
import type { Check, Report } from '../../cli/verify/report.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { DropReason } from '../../tagqueue/reasons.ts';
import { letFail } from '../faults/crashes.ts';
import { FenceBuilds } from '../fence/builds.ts';
import { exchangeFence } from '../fence/exchange.ts';

const MUTANTS: readonly (readonly [DropReason, readonly CheckId[]])[] = [
  ['other_tenant', ['other-tenant-same-host', 'other-tenant-two-hosts']],
  ['tag_forged', ['forged-tag']],
  ['untagged', ['untagged-from-wire']],
  ['source_mac', ['spoofed-mac']],
  ['source_ip', ['spoofed-ip']],
  ['arp_spoof', ['arp-spoof']],
];

const builds = new FenceBuilds();
let lab: Lab;

beforeAll(async () => {
  lab = await createLab({ prefix: 'tmutant', nodes: ['a', 'b'] });
  for (const node of lab.nodes) letFail(node);
  await Promise.all([lab.start(), builds.ahead([undefined, ...MUTANTS.map(([reason]) => reason)])]);
}, 90_000);
afterAll(async () => {
  await lab?.close();
  builds[Symbol.dispose]();
});

const byId = (checks: readonly Check[]): CheckId[] => [...new Set(checks.map(({ id }) => id))];

/** Both nodes run on with the other programs: what was joined stays joined. */
async function runWith(object: string): Promise<void> {
  await Promise.all(lab.nodes.map((node) => exchangeFence(node, { tagqueue: { object } })));
}

async function verify(): Promise<{ code: number; report: Report }> {
  const { code, stdout } = await lab.node('a').sluice(['verify', '--json']);
  return { code, report: JSON.parse(stdout) as Report };
}

describe('a fence without one of its checks', () => {
  it.each(MUTANTS)('lets through what %s would refuse, and verify says so', async (reason, ids) => {
    await runWith(builds.build(reason));
    const { code, report } = await verify();
    const wrong = report.checks.filter(({ expect, got }) => expect !== got);
    expect(byId(wrong)).toEqual(ids);
    expect(wrong.map(({ got }) => got)).toEqual(wrong.map(() => 'pass'));
    expect(report.ok).toBe(false);
    expect(code).toBe(6);
  });

  it('and with all of them, nothing gets through', async () => {
    await runWith(builds.build());
    expect(await verify()).toMatchObject({ code: 0, report: { ok: true } });
  });
});
