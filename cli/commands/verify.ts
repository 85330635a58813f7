/** `sluice verify`: proves the fence of this node with real packets. */
import type { Argv } from 'yargs';
import { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import { loadConfig } from '../config.ts';
import { show } from '../output.ts';
import { placesOf } from '../places.ts';
import { readUpRecord } from '../supervisor/up-file.ts';
import { type ServerFlags, withServer } from './clients.ts';
import type { Command } from './command.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Common, server } from './options.ts';

interface VerifyFlags extends Common, ServerFlags {
  readonly lab?: boolean;
  readonly peer?: string;
  readonly egress?: string;
  readonly outside?: string;
}

export const verify: Command<VerifyFlags> = { flags: verifyFlags, run };

function verifyFlags(yargs: Argv): Argv {
  return server(yargs)
    .option('lab', {
      type: 'boolean',
      default: false,
      describe: 'Where there is no other node: prove what takes two between two in a lab',
    })
    .option('peer', {
      type: 'string',
      describe: 'Which node is the other host (default: the first there is)',
    })
    .option('egress', {
      type: 'string',
      describe: 'An address beyond NAT that answers (network.egressProbe)',
    })
    .option('outside', {
      type: 'string',
      describe: 'Path of a network namespace outside, to try published ports from',
    });
}

const EXIT_CHECK_FAILED = 6;

async function run({ json, lab = false, peer, egress, outside, ...flags }: VerifyFlags): Promise<void> {
  const places = placesOf(process.env);
  const config = await loadConfig(places);
  const egressProbe = egress === undefined ? config.network.egressProbe : addressOf(egress);
  const listening = readUpRecord(places)?.server ?? config.listen ?? config.join;
  const { runVerify } = await import('../verify/run.ts');
  const { COLOURFUL, PLAIN, renderReport } = await import('../verify/report.ts');
  const report = await withServer(flags, (client) =>
    runVerify({
      runDir: places.runDir,
      server: client,
      signal: untilInterrupted(),
      lab,
      ...(peer !== undefined && { peer }),
      ...(egressProbe !== undefined && { egressProbe }),
      ...(listening !== undefined && { services: [destinationOf(listening)] }),
      ...(outside !== undefined && { outside }),
    }),
  );
  show(json, report, () => renderReport(report, process.stdout.isTTY ? COLOURFUL : PLAIN));
  process.exitCode = report.ok ? 0 : EXIT_CHECK_FAILED;
}

function addressOf(text: string): Ipv4 {
  const parsed = Ipv4.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new SluiceError(
    'invalid_request',
    `--egress ${JSON.stringify(text)} is no IPv4 address`,
    'correct it',
  );
}

function destinationOf(hostPort: string): { address: Ipv4; port: number } {
  const [address, port] = hostPort.split(':');
  return { address: Ipv4.parse(address), port: Number(port) };
}
