/** What lies between this node and the others: which carrier gets through, and which is faster. */
import type { CarrierFinding, PeerCarriers } from '../../tagqueue/probes/carriers.ts';
import { type Finding, fail, ok, type ThoroughFacts, warn } from './facts.ts';

/** Below that the one is not called faster: a busy machine makes more difference. */
const FASTER = 1.1;

export function checkCarriers({ carriers }: Pick<ThoroughFacts, 'carriers'>): Finding[] {
  if (carriers === undefined)
    return [ok('carriers', 'not tried: tagqueue does not answer, or has no keys yet')];
  if (carriers.peers.length === 0) return [ok('carriers', 'there is no other node to try them with')];
  return carriers.peers.map((peer) => checkPeer(peer, carriers.used));
}

function checkPeer({ peer, carriers }: PeerCarriers, used: string): Finding {
  const id = `carriers-${peer}`;
  const found = carriers.map(sentenceOf);
  const whole = carriers.filter(passes);
  if (carriers.every(({ small }) => small.sent === 0))
    return warn(
      id,
      `node ${peer} could not be tried: nobody answers ARP for it`,
      'is it up, and on the same wire?',
    );
  const text = `to node ${peer}: ${[...found, ...fasterOf(whole)].join('; ')}`;
  if (whole.some(({ carrier }) => carrier === used)) return ok(id, text);
  const other = whole[0]?.carrier;
  const advice =
    other === undefined
      ? 'is the node up (sluice node list)? If so, the fabric drops both: look for filters of IPv4 options and of UDP between nodes'
      : `the cluster sends ${used}: sluice cluster set --carrier ${other}`;
  return fail(id, text, advice);
}

function passes({ small, full }: CarrierFinding): boolean {
  return small.answered > 0 && full.answered > 0;
}

function sentenceOf(one: CarrierFinding): string {
  const { carrier, small, full } = one;
  if (small.answered === 0) return `${carrier} does not pass`;
  if (full.answered === 0) return `${carrier} passes in small packets only`;
  const lost = small.sent + full.sent - small.answered - full.answered;
  const times = [small, full].map(({ medianMs }) => `${(medianMs ?? 0).toFixed(2)} ms`).join(' and ');
  return `${carrier} passes, round trips take ${times} (small, full)${lost > 0 ? `, ${lost} lost` : ''}`;
}

function fasterOf(whole: readonly CarrierFinding[]): string[] {
  const [first, second] = whole.toSorted((a, b) => (a.full.medianMs ?? 0) - (b.full.medianMs ?? 0));
  if (first === undefined || second === undefined) return [];
  const ratio = (second.full.medianMs ?? 0) / (first.full.medianMs ?? 1);
  return [ratio < FASTER ? 'both are about as fast' : `${first.carrier} is faster`];
}
