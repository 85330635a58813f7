/**
 * Values of limits as people write them: `50Mbit`, `128MiB`, `20MB/s`, `0.5`, `0-3,7`, `unlimited`. What could be read
 * in two ways is refused, and the error says how to say it (docs/limits.md).
 */
import { SluiceError } from './errors.ts';
import { LIMIT_UNITS, type LimitField, type LimitUnit, type LimitValue, UNLIMITED } from './limits.ts';
import { exampleHint, suffixHint } from './quantity-hints.ts';

/** What a word was read as, or what is wrong with it and what to say instead. */
export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string; readonly hint: string };

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

type NumberUnit = Exclude<LimitUnit, 'cpus'>;
/** Units behind a number with their size, largest first. */
type Suffixes = readonly (readonly [suffix: string, size: number])[];

const KI = 1_024;

/** Where a value begins and ends to make sense. */
const BOUNDS: Readonly<Record<NumberUnit, Bounds>> = {
  // The kernel's shortest quota is 1 ms of a period of 100 ms (min_cfs_quota_period, kernel/sched/core.c).
  cores: { min: 0.01, max: 4_096 },
  milliseconds: { min: 1, max: 1_000_000 },
  // CGROUP_WEIGHT_MIN and CGROUP_WEIGHT_MAX (include/linux/cgroup.h).
  weight: { min: 1, max: 10_000 },
  // Less holds no program.
  bytes: { min: 4 * KI ** 2, max: 64 * KI ** 4 },
  // PID_MAX_LIMIT (include/linux/threads.h).
  count: { min: 1, max: 4 * KI ** 2 },
  bytesPerSecond: { min: 1_000, max: 1e12 },
  opsPerSecond: { min: 1, max: 100_000_000 },
  // At less a full packet takes more than a second and a half.
  bitsPerSecond: { min: 8_000, max: 1e12 },
};

/**
 * Of shared volumes. At less a file system is of no use: the largest write, of 128 KiB, takes two seconds at these, and to
 * make a file counts as 4 KiB (docs/translator.md).
 */
const VOLUME_LEAST: Readonly<Partial<Record<LimitUnit, number>>> = {
  bytesPerSecond: 64_000,
  opsPerSecond: 5,
};

const SUFFIXES: Readonly<Record<NumberUnit, Suffixes>> = {
  cores: [
    ['', 1],
    ['m', 0.001],
  ],
  milliseconds: [['ms', 1]],
  weight: [['', 1]],
  bytes: byteSuffixes(''),
  count: [['', 1]],
  bytesPerSecond: byteSuffixes('/s'),
  opsPerSecond: [['', 1]],
  bitsPerSecond: [
    ['Tbit', 1e12],
    ['Gbit', 1e9],
    ['Mbit', 1e6],
    ['kbit', 1e3],
    ['bit', 1],
  ],
};

function byteSuffixes(end: string): Suffixes {
  const units: Suffixes = [
    ['TiB', KI ** 4],
    ['TB', 1e12],
    ['GiB', KI ** 3],
    ['GB', 1e9],
    ['MiB', KI ** 2],
    ['MB', 1e6],
    ['KiB', KI],
    ['kB', 1e3],
    ['B', 1],
  ];
  return units.map(([name, size]) => [`${name}${end}`, size]);
}

/** The highest CPU a list may name; the kernel's CONFIG_NR_CPUS goes no further on any machine. */
const LAST_CPU = 8_191;

/**
 * @param word  a text; a bare number only where the field counts plain things: cores, counts, operations, weights
 * @returns the value in the field's unit; null for `unlimited`
 */
export function readLimit(field: LimitField, word: unknown): Reading<LimitValue> {
  const unit = LIMIT_UNITS[field];
  const text = typeof word === 'number' ? String(word) : word;
  if (typeof text !== 'string') return wrong(`${JSON.stringify(word)} is no value`, exampleHint(unit));
  if (text === UNLIMITED) return { ok: true, value: null };
  return unit === 'cpus' ? readCpus(text) : readNumber(unit, text, boundsOf(field));
}

/** @throws SluiceError `invalid_request` */
export function parseLimit(field: LimitField, word: unknown): LimitValue {
  const reading = readLimit(field, word);
  if (reading.ok) return reading.value;
  throw new SluiceError('invalid_request', `${field}: ${reading.problem}`, reading.hint);
}

/** As {@link readLimit} understands it, to the last digit; as short as it can be said so. */
export function printLimit(field: LimitField, value: LimitValue): string {
  if (value === null) return UNLIMITED;
  const unit = LIMIT_UNITS[field];
  if (typeof value === 'string' || unit === 'cpus') return String(value);
  const texts = SUFFIXES[unit].flatMap(([suffix, size]) => {
    const digits = decimals(value / size);
    return size >= 1 && value >= size && exactly(digits, size) === value ? [`${digits}${suffix}`] : [];
  });
  // Less than one, and what is no whole number of bits or bytes, which is only ever shown and never read again.
  return texts.reduce((best, text) => (text.length < best.length ? text : best), texts[0] ?? String(value));
}

/** What is wrong with a value that came as a number already; undefined: nothing. */
export function limitProblem(field: LimitField, value: LimitValue): string | undefined {
  if (value === null) return undefined;
  const unit = LIMIT_UNITS[field];
  if (unit === 'cpus') {
    if (typeof value === 'number') return `${value} is no list of CPUs`;
    const reading = readCpus(value);
    return reading.ok ? undefined : reading.problem;
  }
  if (typeof value === 'string') return `${JSON.stringify(value)} is no number`;
  const reading = checkNumber(unit, value, String(value), boundsOf(field));
  return reading.ok ? undefined : reading.problem;
}

/** @returns undefined for lists of CPUs */
export function boundsOf(field: LimitField): Bounds | undefined {
  const unit = LIMIT_UNITS[field];
  if (unit === 'cpus') return undefined;
  const least = /^(?:tenant\.)?volume\./.test(field) ? VOLUME_LEAST[unit] : undefined;
  return least === undefined ? BOUNDS[unit] : { ...BOUNDS[unit], min: least };
}

/** Whether the field's unit cannot be split: all but cores. */
export function isWhole(field: LimitField): boolean {
  return LIMIT_UNITS[field] !== 'cores';
}

/** A size that is no limit of a container, such as a volume's. @param bounds  in bytes */
export function readBytes(text: string, bounds: Bounds): Reading<number> {
  const reading = readNumber('bytes', text, bounds);
  // No size is unlimited.
  return reading.ok ? reading : { ...reading, hint: reading.hint.replace(`, or ${UNLIMITED}`, '') };
}

function readNumber(unit: NumberUnit, text: string, bounds = BOUNDS[unit]): Reading<number> {
  const [, digits, suffix = ''] = /^(\d{1,16}(?:\.\d{1,20})?)([^\d\s.].*)?$/.exec(text) ?? [];
  if (digits === undefined) return wrong(`${JSON.stringify(text)} is no quantity`, exampleHint(unit));
  const size = SUFFIXES[unit].find(([name]) => name === suffix)?.[1];
  if (size !== undefined) return checkNumber(unit, exactly(digits, size), text, bounds);
  const problem =
    suffix === '' ? 'has no unit' : `has a unit that is not clear here, ${JSON.stringify(suffix)}`;
  return wrong(`${JSON.stringify(text)} ${problem}`, suffixHint(unit, digits, suffix));
}

function checkNumber(
  unit: NumberUnit,
  value: number,
  text: string,
  { min, max } = BOUNDS[unit],
): Reading<number> {
  const shown = JSON.stringify(text);
  if (!Number.isFinite(value)) return wrong(`${shown} is no number`, exampleHint(unit));
  if (value < min) return wrong(`${shown} is less than makes sense`, `the least is ${printed(unit, min)}`);
  if (value > max) return wrong(`${shown} is more than makes sense`, `the most is ${printed(unit, max)}`);
  if (unit !== 'cores' && !Number.isInteger(value))
    return wrong(`${shown} is no whole number`, exampleHint(unit));
  return { ok: true, value };
}

/** @returns the list as the kernel prints it: in order, neighbours joined */
function readCpus(text: string): Reading<string> {
  const cpus = new Set<number>();
  for (const part of text.split(',')) {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) > LAST_CPU) {
      return wrong(`${JSON.stringify(text)} is no list of CPUs`, exampleHint('cpus'));
    }
    for (let cpu = Number(first); cpu <= Number(last); cpu += 1) cpus.add(cpu);
  }
  return { ok: true, value: printCpus([...cpus].sort((a, b) => a - b)) };
}

function printCpus(cpus: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const cpu of cpus) {
    const range = ranges.at(-1);
    if (range?.[1] === cpu - 1) range[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

/**
 * The number that `digits` times `size` is, not the nearest that a product of two doubles comes to: 1.1Mbit is 1100000.
 * @param digits  a decimal number
 */
function exactly(digits: string, size: number): number {
  if (size === 1) return Number(digits);
  if (size < 1) return Number(digits) / (1 / size);
  const [whole = '0', fraction = ''] = digits.split('.');
  const scale = 10n ** BigInt(fraction.length);
  const product = BigInt(whole + fraction) * BigInt(size);
  // The half says no more than that it is no whole number.
  return Number(product / scale) + (product % scale === 0n ? 0 : 0.5);
}

/** Without an exponent, which nobody writes. */
function decimals(value: number): string {
  const text = String(value);
  return text.includes('e') ? value.toFixed(20) : text;
}

function printed(unit: NumberUnit, value: number): string {
  const [suffix, size] = SUFFIXES[unit].find(([, one]) => one >= 1 && value % one === 0) ?? ['', 1];
  return `${value / size}${suffix}`;
}

function wrong(problem: string, hint: string): Reading<never> {
  return { ok: false, problem, hint };
}
