/** `sluice endpoint requests`: how busy containers are, and how fast new connections to a busy one may come. */
import type { Argv } from 'yargs';
import { SluiceError } from '../../model/errors.ts';
import { RequestLimit } from '../../model/request-limit.ts';
import { show, table } from '../output.ts';
import { pathTo, withDaemon } from './clients.ts';
import { type Changing, changing } from './options.ts';

export interface RequestsFlags extends Changing {
  readonly container?: string | undefined;
  readonly overLoad?: number | undefined;
  readonly newPerSecond?: number | undefined;
  readonly average?: number | undefined;
  readonly none?: boolean | undefined;
}

export function requestsFlags(y: Argv): Argv<RequestsFlags> {
  return changing(y)
    .positional('container', { type: 'string', describe: 'Its name, its id or the beginning of it' })
    .option('over-load', { type: 'number', describe: 'The load beyond which the limit holds' })
    .option('new-per-second', {
      type: 'number',
      describe: 'New connections a second to all its published ports, while it holds',
    })
    .option('average', { type: 'number', describe: 'Seconds over which the load is averaged (default: 60)' })
    .option('none', { type: 'boolean', describe: 'No limit any more' })
    .implies('over-load', 'new-per-second')
    .implies('new-per-second', 'over-load')
    .implies('average', 'over-load')
    .conflicts('none', 'over-load') as unknown as Argv<RequestsFlags>;
}

interface Requests {
  readonly containerId: string;
  readonly containerName: string | null;
  readonly tenant: string;
  readonly load: readonly [one: number, five: number, fifteen: number];
  readonly limit: RequestLimit | null;
  readonly busy: number | null;
  readonly slowed: boolean;
}

export async function requests(flags: RequestsFlags): Promise<void> {
  const { container, json } = flags;
  const changes = flags.none === true || flags.overLoad !== undefined;
  if (container === undefined) {
    if (changes) throw new SluiceError('invalid_request', 'no container is named', 'name one, or its id');
    return print(json, await ask('GET', '/v1/requests'));
  }
  const path = `${pathTo('/v1/limits', container)}/requests`;
  if (!changes) return print(json, await ask('GET', path));
  const limit = flags.none === true ? undefined : limitOf(flags);
  const what =
    limit === undefined
      ? `limit new connections to ${container} no longer`
      : `limit new connections to ${container} to ${limit.newPerSecond} a second while its load is over ${limit.load}`;
  if (flags.dryRun) return show(json, { dryRun: true, would: what }, () => `would ${what}`);
  return print(json, await (limit === undefined ? ask('DELETE', path) : ask('PUT', path, limit)));
}

function limitOf({ overLoad, newPerSecond, average }: RequestsFlags): RequestLimit {
  const said = { load: overLoad, newPerSecond, ...(average !== undefined && { averageSeconds: average }) };
  const parsed = RequestLimit.safeParse(said);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new SluiceError(
    'invalid_request',
    `${issue?.path.join('.') ?? 'the limit'}: ${issue?.message ?? 'is wrong'}`,
    'see: sluice endpoint requests --help',
  );
}

async function ask(method: 'GET' | 'PUT' | 'DELETE', path: string, body?: RequestLimit): Promise<Requests[]> {
  return withDaemon('netd', async (client) => {
    const answer = (await client.request(method, path, body)) as { requests: Requests[] };
    return answer.requests;
  });
}

const HEAD = ['container', 'name', 'tenant', 'load', 'limit', 'now'];

function print(json: boolean | undefined, all: readonly Requests[]): void {
  show(json, all, () => table(HEAD, all.map(rowOf), 'no containers are attached'));
}

function rowOf({ containerId, containerName, tenant, load, limit, busy, slowed }: Requests): string[] {
  const words =
    limit === null
      ? ''
      : `${limit.newPerSecond} new/s over load ${limit.load} (average of ${limit.averageSeconds} s)`;
  const now = limit === null ? '' : `${slowed ? 'limited' : 'open'}${busy === null ? '' : `, load ${busy}`}`;
  return [containerId.slice(0, 12), containerName ?? '', tenant, load.join(' '), words, now];
}
