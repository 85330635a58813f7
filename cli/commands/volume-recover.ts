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
}

export function recoverFlags<T>(yargs: Argv<T>): Argv<T & { to: string }> {
  return yargs.option('to', {
    type: 'string',
    demandOption: true,
    describe: 'An empty directory, or one to make: the files are written there',
  }) as unknown as Argv<T & { to: string }>;
}

/** The server is not asked: it may be gone, too. Exits with 6 when something was left out. */
export async function recover(flags: RecoverFlags): Promise<void> {
  const to = path.resolve(flags.to);
  const { volume, tenant } = flags;
  const body = { volume, ...(tenant !== undefined && { tenant }), to };
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
