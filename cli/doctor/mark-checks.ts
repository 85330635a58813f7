/** Whether anybody else writes into the bits of the mark that tell tenants apart. */
import { type Finding, ok, type ThoroughFacts, warn } from './facts.ts';
import type { MarkWriter } from './mark-writes.ts';

/** Rules are shown one by one up to here. */
const MOST_SHOWN = 5;

/** Whether such a rule ever meets a packet of a container is more than a listing can tell: hence no failure. */
export function checkMarks({
  markWriters,
  network,
}: Pick<ThoroughFacts, 'markWriters' | 'network'>): Finding {
  const id = 'mark';
  const mask = network.markMask;
  const clashes = markWriters.filter(({ bits }) => (bits & mask) !== 0);
  if (clashes.length === 0) {
    const beside = markWriters.length === 0 ? '' : `; ${markWriters.length} rules write beside it`;
    return ok(id, `nobody else writes into the mark's bits ${hex(mask)}${beside}`);
  }
  const shown = clashes.slice(0, MOST_SHOWN).map((writer) => sentenceOf(writer, mask));
  const rest = clashes.length > MOST_SHOWN ? [`and ${clashes.length - MOST_SHOWN} more`] : [];
  return warn(
    id,
    [...shown, ...rest].join('; '),
    `let these rules leave the bits ${hex(mask)} alone (MARK --set-xmark VALUE/MASK), or give network.markMask other bits on this node`,
  );
}

function sentenceOf({ where, mark, bits }: MarkWriter, mask: number): string {
  return `${where} writes ${hex(bits & mask)} of the ${mark} mark`;
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16).padStart(8, '0')}`;
}
