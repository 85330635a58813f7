/** `sluice down` and `sluice uninstall`: what was put up is taken down. */
import type { Argv } from 'yargs';
import type { NodeName } from '../../model/names.ts';
import { confirm } from '../ask.ts';
import { loadConfig } from '../config.ts';
import { nodeOptions } from '../node-options.ts';
import { show } from '../output.ts';
import { type Places, placesOf } from '../places.ts';
import { nodePlaces, readUpRecord, type UpRecord } from '../supervisor/up-file.ts';
import type { Command } from './command.ts';
import { type Destroying, destroying } from './options.ts';

interface DownFlags extends Destroying {
  readonly node?: string;
  readonly force?: boolean;
}

export const down: Command<DownFlags> = { flags: downFlags, run: runDown };
export const uninstall: Command<DownFlags> = { flags: downFlags, run: runUninstall };

function downFlags(yargs: Argv): Argv {
  return destroying(yargs)
    .option('node', { type: 'string', describe: 'Whose network (default: the node that was up here)' })
    .option('force', {
      type: 'boolean',
      default: false,
      describe: "Go on where the node's network namespace is gone",
    });
}

async function runDown(flags: DownFlags): Promise<void> {
  await inNode('down', flags, async (node, places) => {
    const work = await import('../supervisor/down.ts');
    return work.down(node, places);
  });
}

async function runUninstall(flags: DownFlags): Promise<void> {
  await inNode('uninstall', flags, async (node, places) => {
    const work = await import('../supervisor/uninstall.ts');
    return work.uninstall(node, places);
  });
}

interface Report {
  readonly node: NodeName;
  readonly removed: readonly string[];
  readonly failed: readonly string[];
  readonly left?: readonly string[];
}

async function inNode(
  command: 'down' | 'uninstall',
  flags: DownFlags,
  work: (node: NodeName, places: Places) => Promise<Report>,
): Promise<void> {
  const places = nodePlaces(process.env, placesOf(process.env));
  const record = readUpRecord(places);
  const node = await nodeOf(flags, record, places);
  if (!flags.dryRun)
    await confirm(`remove node ${node}${command === 'down' ? '' : await whatGoes(places)}`, flags.yes);
  const { runInsideNode } = await import('../supervisor/inside.ts');
  const exitCode = await runInsideNode(record, places, [command, '--yes', '--node', node, ...passed(flags)]);
  if (exitCode !== undefined) {
    process.exitCode = exitCode;
    return;
  }
  const { checkNamespace } = await import('../supervisor/down.ts');
  if (!flags.force) checkNamespace(record);
  if (flags.dryRun) return showPlan(command, flags, node, places);
  const report = await work(node, places);
  show(flags.json, report, () => textOf(report));
  process.exitCode = report.failed.length === 0 ? 0 : 1;
}

/** Data that cannot be had again is named before anybody agrees. */
async function whatGoes(places: Places): Promise<string> {
  const { dataOf } = await import('../supervisor/storage.ts');
  const data = await dataOf(places);
  return [' and all its state', ...data].join(', and ');
}

function passed({ json, dryRun, force }: DownFlags): string[] {
  return [...(json ? ['--json'] : []), ...(dryRun ? ['--dry-run'] : []), ...(force ? ['--force'] : [])];
}

async function nodeOf({ node }: DownFlags, record: UpRecord | undefined, places: Places): Promise<NodeName> {
  if (node === undefined && record !== undefined) return record.node;
  return nodeOptions({ node }, await loadConfig(places)).node;
}

async function showPlan(command: string, flags: DownFlags, node: NodeName, places: Places): Promise<void> {
  const { presentOf } = await import('../supervisor/present.ts');
  const { stateFiles } = await import('../supervisor/uninstall.ts');
  const { dataOf, storageHere } = await import('../supervisor/storage.ts');
  const state = command === 'uninstall' ? [...stateFiles(places), ...(await dataOf(places))] : [];
  const would = [...(await storageHere(places)), ...(await presentOf(node)), ...state];
  const text = would.length === 0 ? `there is nothing of node ${node} here` : `would remove:\n${list(would)}`;
  show(flags.json, { node, dryRun: true, would }, () => text);
}

function textOf({ node, removed, failed, left = [] }: Report): string {
  return [
    removed.length === 0
      ? `there was nothing of node ${node} here`
      : `removed of node ${node}:\n${list(removed)}`,
    ...(failed.length === 0 ? [] : [`could not be removed:\n${list(failed)}`]),
    ...(left.length === 0 ? [] : [`left, because it is not ours:\n${list(left)}`]),
  ].join('\n');
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join('\n');
}
