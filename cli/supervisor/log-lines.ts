/** The daemons' log lines, for people: time, daemon, what happened, details. */

interface LogLine {
  readonly level: number;
  readonly time: number;
  readonly role?: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

const COLOURS = { error: '\u001b[31m', warn: '\u001b[33m', dim: '\u001b[2m', off: '\u001b[0m' } as const;
/** pino's numbers. */
const WARN = 40;
const ERROR = 50;

/**
 * @param line  of a daemon: JSON as pino writes it; anything else is passed on as it is
 * @param colourful  whether it goes to a terminal
 */
export function readableLine(line: string, colourful: boolean): string {
  const entry = parse(line);
  if (entry === undefined) return line;
  const { level, time, role = 'up', msg = '', ...details } = entry;
  const paint = (colour: keyof typeof COLOURS, text: string): string =>
    colourful && text !== '' ? `${COLOURS[colour]}${text}${COLOURS.off}` : text;
  const clock = new Date(time).toISOString().slice(11, 23);
  const rest = Object.entries(details).map(([name, value]) => `${name}=${wordOf(value)}`);
  return [paint('dim', clock), role.padEnd(8), mark(level, paint, msg), paint('dim', rest.join(' '))]
    .filter((part) => part !== '')
    .join(' ');
}

function mark(
  level: number,
  paint: (colour: 'error' | 'warn', text: string) => string,
  message: string,
): string {
  if (level >= ERROR) return paint('error', `error: ${message}`);
  if (level >= WARN) return paint('warn', message);
  return message;
}

function wordOf(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:-]+$/.test(value) ? value : JSON.stringify(value);
  if (isError(value)) return JSON.stringify(value.stack ?? value.message);
  return JSON.stringify(value);
}

function isError(value: unknown): value is { readonly message: string; readonly stack?: string } {
  return typeof value === 'object' && value !== null && 'message' in value;
}

function parse(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry = JSON.parse(line) as Partial<LogLine>;
    return typeof entry.level === 'number' && typeof entry.time === 'number' ? (entry as LogLine) : undefined;
  } catch {
    return undefined;
  }
}
