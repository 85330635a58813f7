/** `sluice key`: the keys that tags are made with. No command ever shows one. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv } from 'yargs';
import type { ApiClient } from '../../linux/api-client.ts';
import { SluiceError } from '../../model/errors.ts';
import type { KeyGeneration, KeyReport } from '../../model/keys.ts';
import { show, table, timeOf } from '../output.ts';
import { withServer } from './clients.ts';
import { changing, type Root, server } from './options.ts';

const PATH = '/v1/keys/rotation';

export function key(yargs: Root): Argv {
  return server(yargs)
    .command(
      'show',
      'Show which keys are in use, and which node has which',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const report = await reportFrom(client);
          show(flags.json, report, () => textOf(report));
        }),
    )
    .command(
      'rotate',
      'Change the key: all nodes accept the next one, then send with it, then the old one ends',
      (y) =>
        changing(y)
          .option('wait', { type: 'boolean', default: false, describe: 'Until the old key has ended' })
          .option('timeout', { type: 'number', default: 1_800, describe: 'Seconds to wait at most' }),
      (flags) => withServer(flags, (client) => rotate(client, flags)),
    )
    .demandCommand(1, 'say what to do with keys');
}

interface RotateFlags {
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly wait: boolean;
  readonly timeout: number;
}

const LOOK_EVERY_MS = 50;

async function rotate(client: ApiClient, { json, dryRun, wait, timeout }: RotateFlags): Promise<void> {
  const before = await reportFrom(client);
  if (dryRun) {
    const would = `change the key of generation ${before.generation} for the next one`;
    return show(json, { dryRun, would, request: { method: 'POST', path: PATH } }, () => `would ${would}`);
  }
  const begun = (await client.request('POST', PATH)) as KeyReport;
  const next = begun.next?.generation ?? begun.generation;
  if (!wait) return show(json, begun, () => `the change to key generation ${next} has begun`);
  const ended = await untilOver(client, next, Date.now() + timeout * 1_000);
  show(json, ended, () => `key generation ${ended.generation} is in use alone${withoutWhom(ended)}`);
}

/** A server that is being started again is waited for like a node. */
async function untilOver(client: ApiClient, generation: KeyGeneration, until: number): Promise<KeyReport> {
  for (;;) {
    const report = await reportFrom(client).catch(unlessUnreachable);
    if (report !== undefined && report.phase === 'steady' && report.generation >= generation) return report;
    if (Date.now() > until) throw takesLong(generation);
    await sleep(LOOK_EVERY_MS);
  }
}

function unlessUnreachable(error: unknown): undefined {
  if (error instanceof SluiceError && error.code === 'unreachable') return undefined;
  throw error;
}

async function reportFrom(client: ApiClient): Promise<KeyReport> {
  return (await client.request('GET', PATH)) as KeyReport;
}

function withoutWhom({ nodes }: KeyReport): string {
  const late = nodes.filter(({ standing }) => standing === 'late').map(({ node }) => node);
  return late.length === 0 ? '' : `; without ${late.join(', ')}, which did not answer`;
}

function textOf(report: KeyReport): string {
  const { generation, epoch, phase, since, accepted, dueAt, urgent } = report;
  const keys = accepted.map((one) => [
    String(one.generation),
    String(one.epoch),
    useOf(one.generation, report),
    timeOf(one.madeAt),
  ]);
  const nodes = report.nodes.map(({ node, standing, held }) => [
    node,
    standing,
    held === null ? '?' : held.accepts.join(' ') || 'none',
    held === null ? '?' : String(held.sends ?? 'nothing'),
  ]);
  return [
    `key generation ${generation} (epoch ${epoch}), ${phase} since ${timeOf(since)}${urgent ? ', urgent' : ''}`,
    dueAt === null
      ? 'it changes when `sluice key rotate` says so'
      : `it changes by itself at ${timeOf(dueAt)}`,
    '',
    table(['generation', 'epoch', 'use', 'made'], keys, ''),
    '',
    table(['node', 'standing', 'accepts', 'sends'], nodes, 'no nodes yet'),
  ].join('\n');
}

function useOf(generation: KeyGeneration, report: KeyReport): string {
  if (generation === report.generation) return 'sent with';
  return generation === report.next?.generation ? 'next' : 'ending';
}

function takesLong(generation: KeyGeneration): SluiceError {
  return new SluiceError(
    'check_failed',
    `the change to key generation ${generation} is not over yet; it goes on`,
    'sluice key show says which node it waits for',
  );
}
