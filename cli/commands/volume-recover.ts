/** `sluice volume recover`: the files of a volume, read from bricks that no Gluster serves. */
import path from 'node:path';
import type { Argv } from 'yargs';
import { SluiceError } from '../../model/errors.ts';
import type { Recovered, RecoverLine, RecoverProgress } from '../../model/volume-request.ts';
import { show, terminal } from '../output.ts';
import { withStoraged } from './clients.ts';
import { untilInterrupted } from './interrupt.ts';
import type { Changing } from './options.ts';
import { humanBytes } from './usage.ts';
import { wouldDo } from './volume-make.ts';
import type { NamedFlags } from './volume-show.ts';

const PATH = '/v1/recover';

export interface RecoverFlags extends Changing, NamedFlags {
  readonly to: string;
  readonly acceptOld: boolean | undefined;
  readonly brick: readonly string[] | undefined;
}

type Asked = Pick<RecoverFlags, 'to' | 'acceptOld' | 'brick'>;

export function recoverFlags<T>(yargs: Argv<T>): Argv<T & Asked> {
  return yargs
    .option('to', {
      type: 'string',
      demandOption: true,
      describe: 'An empty directory, or one to make: the files are written there',
    })
    .option('accept-old', {
      type: 'boolean',
      describe: 'Go on where newer data may be on bricks that are not here',
    })
    .option('brick', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'NUMBER=DIR, may be repeated: where a brick of another node has been brought to',
    }) as unknown as Argv<T & Asked>;
}

/** @throws SluiceError `invalid_request` */
function broughtBricks(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const [, number = '', directory = ''] = /^(\d{1,4})=(.+)$/.exec(word) ?? [];
      if (number !== '') return [number, path.resolve(directory)];
      throw new SluiceError(
        'invalid_request',
        `--brick ${word}: not NUMBER=DIR`,
        'such as --brick 2=/mnt/brick',
      );
    }),
  );
}

/** The server is not asked: it may be gone, too. Exits with 6 when something was left out. */
export async function recover(flags: RecoverFlags): Promise<void> {
  const to = path.resolve(flags.to);
  const { volume, tenant } = flags;
  const body = {
    ...{ volume, to },
    ...(tenant !== undefined && { tenant }),
    ...(flags.acceptOld === true && { acceptOld: true }),
    ...(flags.brick !== undefined && { bricks: broughtBricks(flags.brick) }),
  };
  const what = `read the files of volume ${volume} from its bricks into ${to}`;
  if (flags.dryRun) return wouldDo(flags.json, what, { method: 'POST', path: PATH, body });
  const recovered = await withStoraged(async (client) => {
    let last: Recovered | undefined;
    for await (const item of client.stream(PATH, untilInterrupted(), body)) {
      const line = item as RecoverLine;
      if ('progress' in line) tellProgress(flags, line.progress);
      else last = line.recovered;
    }
    return last;
  });
  if (recovered === undefined)
    throw new SluiceError(
      'storage_failed',
      `it ended before all was read; ${to} has what was`,
      'call it again, with another directory',
    );
  show(flags.json, recovered, () => recoveredText(recovered, to));
  if (recovered.refused.length > 0) process.exitCode = CHECK_FAILED;
}

const CHECK_FAILED = 6;

function tellProgress({ json }: Changing, { files, bytes }: RecoverProgress): void {
  if (json || !process.stderr.isTTY) return;
  terminal.err(`\r\u001b[2K${filesText(files)}, ${humanBytes(BigInt(bytes))} …`);
}

export function recoveredText({ files, bytes, refused }: Recovered, to: string): string {
  return [
    `${filesText(files)}, ${humanBytes(BigInt(bytes))}, are in ${to}`,
    ...(refused.length === 0 ? [] : [`${filesText(refused.length)} left out:`]),
    ...refused.map(({ path: name, why }) => `  ${name}: ${why}`),
  ].join('\n');
}

function filesText(count: number): string {
  return count === 1 ? '1 file' : `${count} files`;
}
