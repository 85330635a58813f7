/** What to say instead of a value that cannot be understood, or could be in two ways. */
import { type LimitUnit, UNLIMITED } from './limits.ts';

/** What each kind of value looks like. */
const EXAMPLES: Readonly<Record<LimitUnit, string>> = {
  cores: '0.5 (half a core), 500m or 4',
  milliseconds: '20ms',
  weight: 'a whole number from 1 to 10000; 100 is ordinary',
  cpus: 'CPUs such as 0-3,7',
  bytes: '128MiB, 1GiB or 500MB',
  count: 'a whole number such as 200',
  bytesPerSecond: '50MB/s or 64MiB/s',
  opsPerSecond: 'a whole number such as 500',
  bitsPerSecond: '50Mbit, 800kbit or 1Gbit',
};

/** Such as: say 50Mbit, 800kbit or 1Gbit, or unlimited */
export function exampleHint(unit: LimitUnit): string {
  return `say ${EXAMPLES[unit]}, or ${UNLIMITED}`;
}

/**
 * @param digits  the number that was understood
 * @param suffix  what stood behind it, and is no unit of this kind
 */
export function suffixHint(unit: LimitUnit, digits: string, suffix: string): string {
  const guess = guesses[unit]?.(digits, suffix);
  return guess === undefined ? exampleHint(unit) : `say ${guess}`;
}

type Guess = (digits: string, suffix: string) => string | undefined;

const guesses: Readonly<Partial<Record<LimitUnit, Guess>>> = {
  cores: (digits, suffix) => (suffix === '%' ? String(Number(digits) / 100) : undefined),
  milliseconds: (digits, suffix) => {
    if (suffix === 's') return `${Number(digits) * 1_000}ms`;
    return suffix === '' ? `${digits}ms` : undefined;
  },
  bytes: (digits, suffix) => bytesGuess(digits, suffix, ''),
  bytesPerSecond: (digits, suffix) => bytesGuess(digits, suffix.replace(/(?:\/s|ps)$/i, ''), '/s'),
  bitsPerSecond: bitsGuess,
};

/** `50M` can be powers of 1024 or of 1000, and `50mb` bits or bytes. */
function bytesGuess(digits: string, suffix: string, end: string): string | undefined {
  const letter = /^([kmgt]?)(?:i?b?|bytes?)$/i.exec(suffix)?.[1];
  if (letter === undefined) return undefined;
  const binary = (letter === '' ? 'M' : letter).toUpperCase();
  const decimal = binary === 'K' ? 'k' : binary;
  return `${digits}${binary}iB${end} (powers of 1024) or ${digits}${decimal}B${end} (powers of 1000)`;
}

/** `50Mb` can be bits or bytes, and tc(8)'s own `50mbps` is bytes. */
function bitsGuess(digits: string, suffix: string): string | undefined {
  const [, letter, rest = ''] = /^([kmgt]?)(.*)$/i.exec(suffix) ?? [];
  if (letter === undefined || !/^i?(?:bit|b|byte)?s?(?:\/s|ps)?$/i.test(rest)) return undefined;
  const upper = (letter === '' ? 'M' : letter).toUpperCase();
  const bits = `${upper === 'K' ? 'k' : upper}bit`;
  const meant = `${digits}${bits}`;
  return rest === '' || /bit/i.test(rest)
    ? meant
    : `${meant}, or ${Number(digits) * 8}${bits} if bytes were meant`;
}
