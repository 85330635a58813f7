/** Commands for a guest, and what comes back: the host's side of what agent.sh speaks. */
import { randomUUID } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import { readLines } from '../../linux/ndjson.ts';
import type { Outcome } from '../../linux/process.ts';
import { SluiceError } from '../../model/errors.ts';

/** Our ends of the guest's ports. */
export interface Ports {
  readonly commands: Readable & Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/** Called with each line of a command's output as it comes. */
export type OnLine = (line: string, stream: 'stdout' | 'stderr') => void;

export interface Conversation {
  /** Fulfilled when the guest has booted. @throws SluiceError `unreachable` when it ends before that */
  ready(): Promise<void>;
  /** Not before the command before it has ended. @throws SluiceError `unreachable` when the guest ends */
  run(argv: readonly string[], onLine?: OnLine): Promise<Outcome>;
}

/** Characters. What prints longer lines than this ends the conversation. */
const LONGEST_LINE = 1 << 22;

export function converse({ commands, stdout, stderr }: Ports): Conversation {
  commands.on('error', () => undefined); // the guest went; reading says so too
  const said = readLines(commands, LONGEST_LINE);
  const printed = { stdout: readLines(stdout, LONGEST_LINE), stderr: readLines(stderr, LONGEST_LINE) };
  return {
    async ready(): Promise<void> {
      const { value } = await said.next();
      if (value !== 'ready') throw gone();
    },
    async run(argv, onLine = () => undefined): Promise<Outcome> {
      // Nothing that a command prints by itself contains it.
      const token = randomUUID();
      commands.write(`${token} ${Buffer.from(argv.map(quoted).join(' ')).toString('base64')}\n`);
      const [out, err] = await Promise.all([
        untilToken(printed.stdout, token, (line) => onLine(line, 'stdout')),
        untilToken(printed.stderr, token, (line) => onLine(line, 'stderr')),
      ]);
      return { code: out.code, stdout: out.text, stderr: err.text };
    },
  };
}

/** A word for the guest's shell. */
const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

async function untilToken(
  lines: AsyncGenerator<string, void>,
  token: string,
  onLine: (line: string) => void,
): Promise<{ readonly text: string; readonly code: number }> {
  let text = '';
  for (;;) {
    const { value: line } = await lines.next();
    if (line === undefined) throw gone();
    const end = line.indexOf(token);
    if (end < 0) {
      text += `${line}\n`;
      onLine(line);
      continue;
    }
    // What did not end with a line's end stands before the token.
    if (end > 0) onLine(line.slice(0, end));
    return { text: text + line.slice(0, end), code: Number(line.slice(end + token.length)) };
  }
}

function gone(): SluiceError {
  return new SluiceError('unreachable', 'the guest has ended', 'its console says why, if it had the time');
}
