/** `sluice doctor`: checks this machine and its node, and says what to do. */
import type { Argv } from 'yargs';
import { isAlive } from '../../linux/process.ts';
import { loadConfig } from '../config.ts';
import type { Finding } from '../doctor/facts.ts';
import { nodeOptions } from '../node-options.ts';
import { show } from '../output.ts';
import { placesOf } from '../places.ts';
import { nodePlaces, readUpRecord } from '../supervisor/up-file.ts';
import type { Command } from './command.ts';
import type { Common } from './options.ts';

interface DoctorFlags extends Common {
  readonly node?: string;
  readonly uplink?: string;
}

export const doctor: Command<DoctorFlags> = { flags: doctorFlags, run: runDoctor };

function doctorFlags(yargs: Argv): Argv {
  return yargs
    .option('node', { type: 'string', describe: 'Whose node (default: the one that is up here)' })
    .option('uplink', {
      type: 'string',
      describe: 'The interface that leads to the other nodes (default: the configured one)',
    });
}

const EXIT_CHECK_FAILED = 6;

/** Exit code 6 when a check fails; warnings alone are no failure. */
async function runDoctor({ json, ...flags }: DoctorFlags): Promise<void> {
  const places = nodePlaces(process.env, placesOf(process.env));
  const config = await loadConfig(places);
  const record = readUpRecord(places);
  const { runInsideNode } = await import('../supervisor/inside.ts');
  const exitCode = await runInsideNode(record, places, process.argv.slice(2));
  if (exitCode !== undefined) {
    process.exitCode = exitCode;
    return;
  }
  const running = record !== undefined && isAlive(record) ? record : undefined;
  const { node, uplink } = nodeOptions(
    { node: flags.node ?? running?.node, uplink: flags.uplink ?? running?.uplink },
    config,
  );
  const { observeThoroughly } = await import('../doctor/observe.ts');
  const { allFindings } = await import('../doctor/checks.ts');
  const findings = allFindings(await observeThoroughly({ node, uplink, places, config }));
  const healthy = findings.every(({ level }) => level !== 'fail');
  show(json, { ok: healthy, node, checks: findings }, () => textOf(findings));
  process.exitCode = healthy ? 0 : EXIT_CHECK_FAILED;
}

const MARKS = { ok: 'ok   ', warn: 'WARN ', fail: 'FAIL ' } as const;

function textOf(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ id }) => id.length));
  const lines = findings.map(({ id, level, found, advice }) => {
    const line = `${MARKS[level]} ${id.padEnd(width)}  ${found}`;
    return advice === undefined ? line : `${line}\n${' '.repeat(width + 8)}→ ${advice}`;
  });
  const count = (level: Finding['level']): number => findings.filter((one) => one.level === level).length;
  return [...lines, '', `${count('fail')} failed, ${count('warn')} to look at, ${count('ok')} well`].join(
    '\n',
  );
}
