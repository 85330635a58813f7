/** `sluice limits show`, `list` and `set`: what the containers of this node are held to. */
import type { Argv } from 'yargs';
import { readTextIfThere } from '../../linux/files.ts';
import { SluiceError } from '../../model/errors.ts';
import { isTenantField, type Limits } from '../../model/limits.ts';
import { fieldsOf, LimitsWords } from '../../model/limits-tree.ts';
import { parseYaml } from '../config-file.ts';
import { show, table } from '../output.ts';
import { pathTo, withDaemon } from './clients.ts';
import { limitLines, withWords } from './limit-words.ts';
import { type ToldLimits, toldRow, toldText } from './limits-told.ts';
import { type Changing, type Common, changing } from './options.ts';

const PATH = '/v1/limits';
const CONTAINER = {
  type: 'string',
  demandOption: true,
  describe: 'Its name, its id or the beginning of it',
} as const;

/** The commands about single containers of this node. */
export function containerLimits<T extends Common>(yargs: Argv<T>): Argv<T> {
  return yargs
    .command(
      ['list', 'ls'],
      'List what the containers of this node are held to',
      (y) => y,
      (flags) => list(flags),
    )
    .command(
      'show <container>',
      'Show where each limit of a container of this node is from, which switches change it, and what the kernel holds',
      (y) => y.positional('container', CONTAINER),
      (flags) => showOne(flags),
    )
    .command(
      'set <container> [limits..]',
      'Say for a container of this node what its limits are: FIELD=VALUE…, all of them; nothing takes back what was said',
      (y) =>
        changing(y.positional('container', CONTAINER))
          .positional('limits', {
            type: 'string',
            array: true,
            describe: 'Such as cpu=0.5 net.external.out=50Mbit',
          })
          .option('file', { alias: 'f', type: 'string', describe: 'A YAML file that says them, instead' }),
      (flags) => setOne(flags),
    );
}

interface Named extends Common {
  readonly container: string;
}

async function list({ json }: Common): Promise<void> {
  await withDaemon('netd', async (client) => {
    const told = (await client.request('GET', PATH)) as { containers: ToldLimits[] };
    const head = ['container', 'interface', 'tenant', 'limits', 'switches', 'state'];
    show(json, told, () => table(head, told.containers.map(toldRow), 'no containers are attached'));
  });
}

async function showOne({ json, container }: Named): Promise<void> {
  await withDaemon('netd', async (client) => {
    const { limits } = (await client.request('GET', pathTo(PATH, container))) as { limits: ToldLimits[] };
    show(json, limits, () => limits.map(toldText).join('\n\n'));
  });
}

interface SetFlags extends Named, Changing {
  readonly limits?: readonly string[] | undefined;
  readonly file?: string | undefined;
}

async function setOne(flags: SetFlags): Promise<void> {
  const { json, dryRun, container, limits: words = [], file } = flags;
  if (file !== undefined && words.length > 0)
    throw new SluiceError('invalid_request', 'both a file and limits are given', 'say one of the two');
  const limits = file === undefined ? withWords({}, words) : containerLimitsIn(file);
  const lines = limitLines(limits);
  const what =
    lines.length === 0
      ? `take back what was said for container ${container}`
      : `hold container ${container} to ${lines.map((line) => line.replace(/ +/, ' ')).join(', ')}`;
  if (dryRun) return show(json, { dryRun: true, would: what, limits }, () => `would ${what}`);
  await withDaemon('netd', async (client) => {
    const answer = (await client.request('PUT', pathTo(PATH, container), { limits })) as {
      limits: ToldLimits[];
    };
    show(json, answer.limits, () => answer.limits.map(toldText).join('\n\n'));
  });
}

const EXPLAINED = 'docs/limits.md explains every field';

function containerLimitsIn(file: string): Limits {
  const text = readTextIfThere(file);
  if (text === undefined) throw new SluiceError('not_found', `there is no file ${file}`, EXPLAINED);
  const limits = parseYaml(text, file, LimitsWords, EXPLAINED);
  const [share] = fieldsOf(limits).filter(([field]) => isTenantField(field));
  if (share === undefined) return limits;
  throw new SluiceError(
    'invalid_request',
    `${share[0]} is of a tenant's share of a node`,
    'say it in its plan',
  );
}

const LABEL_HINT = 'say NAME=VALUE, or NAME- to take a label away';

interface LabelFlags extends Named, Changing {
  readonly labels: readonly string[];
}

/** `sluice endpoint label`: the words by which switches choose. */
export async function labelContainer({ json, dryRun, container, labels: words }: LabelFlags): Promise<void> {
  const labels = Object.fromEntries(words.map(labelOf));
  const what = `label container ${container} with ${words.join(' ')}`;
  if (dryRun) return show(json, { dryRun: true, would: what, labels }, () => `would ${what}`);
  await withDaemon('netd', async (client) => {
    const path = `${pathTo('/v1/endpoints', container)}/labels`;
    const { endpoints } = (await client.request('PUT', path, { labels })) as {
      endpoints: { containerId: string; labels: Readonly<Record<string, string>> }[];
    };
    show(json, endpoints, () =>
      endpoints
        .map(({ containerId, labels: all }) => {
          const said = Object.entries(all).map(([name, value]) => `${name}=${value}`);
          return `${containerId.slice(0, 12)}  ${said.join(' ') || 'no labels'}`;
        })
        .join('\n'),
    );
  });
}

export function labelFlags<T>(yargs: Argv<T>): Argv<T & LabelFlags> {
  return changing(yargs.positional('container', CONTAINER)).positional('labels', {
    type: 'string',
    array: true,
    demandOption: true,
    describe: 'NAME=VALUE, or NAME- to take a label away',
  }) as unknown as Argv<T & LabelFlags>;
}

function labelOf(word: string): [string, string | null] {
  const [, name, value] = /^([^=]+)=(.+)$/.exec(word) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  const [, gone] = /^([^=]+)-$/.exec(word) ?? [];
  if (gone !== undefined) return [gone, null];
  throw new SluiceError('invalid_request', `${JSON.stringify(word)} is no label`, LABEL_HINT);
}
