/** All checks, in the order of the report. */
import { type CheckId, TWO_HOSTS } from '../catalog.ts';
import type { Check } from '../report.ts';
import type { Peer, Stage } from '../stage.ts';
import { hostUnreachable } from './host.ts';
import { otherTenantSameHost, sameTenantSameHost } from './neighbours.ts';
import { internetEgress, publishedPort } from './outside.ts';
import { untested } from './row.ts';
import { SPOOF_IDS, spoofing } from './spoofing.ts';
import { forgedTag, otherTenantTwoHosts, sameTenantTwoHosts, untaggedFromWire } from './two-hosts.ts';

/** Rows that run at once, or all of them in an order of their own. */
type Step = (stage: Stage) => Promise<Check>[] | Promise<Check[]>;

const between =
  (checks: (stage: Stage, peer: Peer) => Promise<Check>[], id: CheckId): Step =>
  (stage) =>
    'missing' in stage.peer
      ? [Promise.resolve(alone(stage, id, stage.peer.missing))]
      : checks(stage, stage.peer);

const STEPS: readonly Step[] = [
  sameTenantSameHost,
  otherTenantSameHost,
  between(sameTenantTwoHosts, 'same-tenant-two-hosts'),
  between(otherTenantTwoHosts, 'other-tenant-two-hosts'),
  between(forgedTag, 'forged-tag'),
  between(untaggedFromWire, 'untagged-from-wire'),
  ...SPOOF_IDS.map(
    (id): Step =>
      (stage) =>
        spoofing(stage, id),
  ),
  internetEgress,
  publishedPort,
  hostUnreachable,
];

/**
 * Runs one step after the other.
 * @param signal  ends the proof between two steps, with its reason thrown
 */
export async function runChecks(stage: Stage, signal: AbortSignal): Promise<Check[]> {
  const done: Check[] = [];
  for (const step of STEPS) {
    signal.throwIfAborted();
    done.push(...(await Promise.all(await step(stage))));
  }
  return done;
}

function alone({ blue: [b1], red }: Stage, id: CheckId, why: string): Check {
  const from = id === 'other-tenant-two-hosts' ? red.label : b1.label;
  const path = id === 'forged-tag' || id === 'untagged-from-wire' ? 'wire' : 'internal';
  return untested(
    { id, from, to: 'another host', path, expect: id === 'same-tenant-two-hosts' ? 'pass' : 'drop' },
    why,
  );
}

export function needsTwoHosts({ id }: Check): boolean {
  return TWO_HOSTS.includes(id);
}
