/** Which bits of packet marks and connection marks other people's firewall rules write. Pure: listings in, bits out. */

export interface MarkWriter {
  /** For people: table, chain and rule. */
  readonly where: string;
  readonly mark: 'packet' | 'connection';
  /** The bits that may be another value behind the rule than before it. */
  readonly bits: number;
}

const ALL = 0xffff_ffff;

/** What is known of a 32-bit value: bits that are those of the mark before, bits that are 1, bits that are 0. */
interface Bits {
  readonly same: number;
  readonly ones: number;
  readonly zeros: number;
}

const UNKNOWN: Bits = { same: 0, ones: 0, zeros: 0 };
const UNCHANGED: Bits = { same: ALL, ones: 0, zeros: 0 };

function constant(value: number): Bits {
  return { same: 0, ones: value, zeros: ~value };
}

const OPERATIONS: Readonly<Record<string, (a: Bits, b: Bits) => Bits>> = {
  '|': (a, b) => ({
    same: (a.same & b.same) | (a.same & b.zeros) | (a.zeros & b.same),
    ones: a.ones | b.ones,
    zeros: a.zeros & b.zeros,
  }),
  '&': (a, b) => ({
    same: (a.same & b.same) | (a.same & b.ones) | (a.ones & b.same),
    ones: a.ones & b.ones,
    zeros: a.zeros | b.zeros,
  }),
  '^': (a, b) => ({
    same: (a.same & b.zeros) | (a.zeros & b.same),
    ones: (a.ones & b.zeros) | (a.zeros & b.ones),
    zeros: (a.ones & b.ones) | (a.zeros & b.zeros),
  }),
};

type Json = Readonly<Record<string, unknown>>;

/**
 * The bits that a statement `mark set` writes.
 * @param value  its right side (libnftables-json(5)); whatever is not understood may be anything
 * @param own    the key of the mark that is set: `meta` or `ct`
 */
export function bitsWritten(value: unknown, own: 'meta' | 'ct'): number {
  return ~evaluate(value, own).same >>> 0;
}

function evaluate(value: unknown, own: 'meta' | 'ct'): Bits {
  if (typeof value === 'number') return constant(value);
  if (typeof value !== 'object' || value === null) return UNKNOWN;
  const [[operator, operands] = ['', undefined]] = Object.entries(value);
  if (operator === own && isMark(operands)) return UNCHANGED;
  const combine = OPERATIONS[operator];
  if (combine === undefined || !Array.isArray(operands)) return UNKNOWN;
  return operands.map((operand) => evaluate(operand, own)).reduce(combine);
}

function isMark(key: unknown): boolean {
  return (key as { key?: string } | null)?.key === 'mark';
}

/** Targets of iptables that write marks. nftables shows of them nothing but the name. */
const TARGETS = new Set(['MARK', 'CONNMARK', 'TPROXY']);

/** Tables and chains of Sluice itself. */
const OURS = /^sluice/i;

interface ListedRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly expr: readonly Json[];
}

/** @param objects  `nft -j list ruleset` */
export function nftWriters(objects: readonly Json[]): MarkWriter[] {
  return rulesOf(objects).flatMap(({ family, table, chain, handle, expr }) =>
    expr.flatMap((statement): MarkWriter[] => {
      const { key, value } = (statement['mangle'] ?? {}) as { key?: Json; value?: unknown };
      const own = (['meta', 'ct'] as const).find((kind) => isMark(key?.[kind] ?? null));
      if (own === undefined) return [];
      const where = `nftables: table ${family} ${table}, chain ${chain}, rule with handle ${handle}`;
      return [{ where, mark: own === 'meta' ? 'packet' : 'connection', bits: bitsWritten(value, own) }];
    }),
  );
}

/** Whether rules of iptables stand in nftables whose numbers only iptables-nft-save shows. */
export function hasIptablesTargets(objects: readonly Json[]): boolean {
  return rulesOf(objects).some(({ expr }) =>
    expr.some((statement) => TARGETS.has((statement['xt'] as { name?: string } | undefined)?.name ?? '')),
  );
}

function rulesOf(objects: readonly Json[]): ListedRule[] {
  return objects
    .map((object) => object['rule'] as ListedRule | undefined)
    .filter((rule) => rule !== undefined)
    .filter(({ table, chain }) => !OURS.test(table) && !OURS.test(chain));
}

/**
 * @param text     what iptables-save prints (iptables-extensions(8), MARK, CONNMARK and TPROXY)
 * @param program  'iptables-nft' or 'iptables-legacy'
 */
export function iptablesWriters(text: string, program: string): MarkWriter[] {
  let table = '';
  return text.split('\n').flatMap((line): MarkWriter[] => {
    if (line.startsWith('*')) table = line.slice(1);
    const [, chain, rest] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain === undefined || rest === undefined || OURS.test(chain)) return [];
    const written = writtenByTarget(rest);
    return written === undefined ? [] : [{ where: `${program} -t ${table}: ${line}`, ...written }];
  });
}

function writtenByTarget(rule: string): Pick<MarkWriter, 'mark' | 'bits'> | undefined {
  const target = /(?:^| )(?:-j|--jump) (\S+)/.exec(rule)?.[1];
  if (target === 'TPROXY') return { mark: 'packet', bits: ofPair(argument(rule, '--tproxy-mark')) };
  if (target === 'MARK') return { mark: 'packet', bits: ofPair(argument(rule, '--set-xmark')) };
  if (target !== 'CONNMARK') return undefined;
  const set = argument(rule, '--set-xmark');
  if (set !== undefined) return { mark: 'connection', bits: ofPair(set) };
  // One mark is copied to the other: where masked, and where the other's bits fall on it.
  const [nf, ct] = [number(argument(rule, '--nfmask')), number(argument(rule, '--ctmask'))];
  return { mark: rule.includes('--restore-mark') ? 'packet' : 'connection', bits: (nf | ct) >>> 0 };
}

function argument(rule: string, name: string): string | undefined {
  const words = rule.split(' ');
  const at = words.indexOf(name);
  return at < 0 ? undefined : words[at + 1];
}

/** `value/mask`: the mask's bits are cleared, then the value's are flipped. */
function ofPair(pair: string | undefined): number {
  if (pair === undefined) return ALL;
  const [value, mask] = pair.split('/');
  return (number(value) | number(mask)) >>> 0;
}

/** Without it: all bits. */
function number(text: string | undefined): number {
  return text === undefined ? ALL : Number(text) >>> 0;
}
