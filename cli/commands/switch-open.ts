/** `sluice switch plan` and `open`: what a switch would do is shown before it is done. */
import type { Argv } from 'yargs';
import type { ApiClient } from '../../linux/api-client.ts';
import { errorOfProblem, exitCodeOf, SluiceError } from '../../model/errors.ts';
import { SwitchId } from '../../model/switch.ts';
import type { SwitchPlanned, SwitchShown, SwitchWish } from '../../model/switch-request.ts';
import { timesOf } from '../../model/switch-times.ts';
import { changesOf, selectorOf } from '../../model/switch-words.ts';
import { confirm } from '../ask.ts';
import { show } from '../output.ts';
import { type ServerFlags, withServer } from './clients.ts';
import type { Common, Destroying } from './options.ts';
import { plannedText, shownText } from './switch-text.ts';

const PATH = '/v1/switches';
/** Nodes answer within milliseconds; who has not by then may be away. */
export const WAIT_MS = 5_000;

/** yargs makes a list of what is said several times. */
type Said = string | readonly string[] | undefined;

export interface ChoiceFlags extends Common, ServerFlags {
  readonly select: Said;
  readonly lift?: Said;
  readonly set?: Said;
  readonly scale?: Said;
  readonly preset?: string | undefined;
  readonly name?: string | undefined;
  readonly id?: string | undefined;
  readonly percent?: number | undefined;
  readonly priority?: number | undefined;
  readonly for?: string | undefined;
  readonly from?: string | undefined;
  readonly until?: string | undefined;
  readonly every?: string | undefined;
  readonly zone?: string | undefined;
  readonly reason?: string | undefined;
  readonly force?: boolean | undefined;
  readonly squeeze?: boolean | undefined;
  readonly mayKill?: boolean | undefined;
  readonly yes?: boolean | undefined;
}

export function choiceFlags<T>(yargs: Argv<T>): Argv<T & ChoiceFlags> {
  const whose = yargs
    .option('select', {
      type: 'string',
      demandOption: true,
      describe: "Which containers: 'tenant=shop,app=cart|pay,label.tier=web', or all",
    })
    .option('percent', {
      type: 'number',
      describe: 'Only so many of them in a hundred, always the same ones',
    });
  const what = whose
    .option('lift', { type: 'string', describe: 'Fields to make unlimited: net.external.out,block' })
    .option('set', { type: 'string', describe: 'Fields to give a value: cpu=4,memory=2GiB' })
    .option('scale', { type: 'string', describe: 'Fields to multiply: cpu=2,memory=1.5' })
    .option('preset', { type: 'string', describe: "Changes that the server's configuration names" })
    .option('priority', { type: 'number', describe: 'Higher ones have the last word (default: 0)' })
    .option('id', {
      type: 'string',
      describe: 'The one that a plan has shown, so that --percent chooses the same containers',
    })
    .option('name', { type: 'string', describe: "What to call it (default: the preset's name)" });
  const when = what
    .option('for', { type: 'string', describe: 'How long: 30m, 6h, 7d; with --every: each time' })
    .option('from', {
      type: 'string',
      describe: 'Since when: 2030-01-31T12:00Z, or +2h from now (default: now)',
    })
    .option('until', { type: 'string', describe: 'Until when, said like --from' })
    .option('every', { type: 'string', describe: "Again and again, as in crontab: '0 23 * * *'" })
    .option('zone', {
      type: 'string',
      describe: 'Whose clocks --every goes by, and times without an offset: Europe/Paris (default: UTC)',
    });
  return when
    .option('squeeze', {
      type: 'boolean',
      default: false,
      describe: 'Take what nodes lack from tenants of lower priority',
    })
    .option('force', { type: 'boolean', default: false, describe: 'Also when nodes lack what it gives' })
    .option('may-kill', {
      type: 'boolean',
      default: false,
      describe: 'Take memory below what is in use, at the price of kills',
    })
    .option('yes', {
      alias: 'y',
      type: 'boolean',
      default: false,
      describe: 'Do not ask, also when every container of the cluster is chosen',
    })
    .option('reason', { type: 'string', describe: 'Why, for the audit log' }) as unknown as Argv<
    T & ChoiceFlags
  >;
}

export function openFlags<T>(yargs: Argv<T>): Argv<T> {
  return yargs.demandOption('reason', 'say why: --reason TEXT') as Argv<T>;
}

/** Exits with what `open` would exit with. */
export async function planSwitch(flags: ChoiceFlags): Promise<void> {
  const wish = wishOf(flags, Date.now());
  await withServer(flags, async (client) => showPlan(flags, await planned(client, wish)));
}

export async function openSwitch(flags: ChoiceFlags & Destroying): Promise<void> {
  const wish = wishOf(flags, Date.now());
  await withServer(flags, async (client) => {
    const plan = await plannedForAll(client, wish, flags);
    if (flags.dryRun) return showPlan(flags, plan);
    if (!flags.json) show(false, plan, () => `${plannedText(plan)}\n`);
    if (plan.refusal !== null) throw refusalOf(plan.refusal);
    const { id } = plan.switch;
    // Who was chosen has been seen, and agreed to.
    const body: SwitchWish = { ...wish, id, all: true };
    const opened = (await client.request('POST', `${PATH}?waitMs=${WAIT_MS}`, body)) as SwitchShown;
    show(flags.json, opened, () => shownText(opened));
  });
}

/** @throws SluiceError `refused` when everybody is chosen, and nobody says that it is meant */
async function plannedForAll(
  client: ApiClient,
  wish: SwitchWish,
  { yes, dryRun }: Pick<Destroying, 'yes' | 'dryRun'>,
): Promise<SwitchPlanned> {
  const plan = await planned(client, wish);
  if (plan.refusal?.code !== 'conflict' || dryRun) return plan;
  if (!yes && !(process.stdin.isTTY && process.stderr.isTTY))
    throw new SluiceError('refused', plan.refusal.message, 'say --yes if it is meant, or narrow --select');
  await confirm(
    `change limits of every container of the cluster, all ${plan.containers.length} of them`,
    yes,
  );
  return planned(client, { ...wish, id: plan.switch.id, all: true });
}

async function planned(client: ApiClient, wish: SwitchWish): Promise<SwitchPlanned> {
  return (await client.request('POST', `${PATH}/plan`, wish)) as SwitchPlanned;
}

function showPlan({ json }: Common, plan: SwitchPlanned): void {
  show(json, plan, () => plannedText(plan));
  if (plan.refusal !== null) process.exitCode = exitCodeOf(refusalOf(plan.refusal).code);
}

function refusalOf({ code, message, hint }: NonNullable<SwitchPlanned['refusal']>): SluiceError {
  return errorOfProblem({ code, detail: message, hint }, message);
}

/** @throws SluiceError `invalid_request` */
function wishOf(flags: ChoiceFlags, now: number): SwitchWish {
  const { preset, name, id, force = false, squeeze = false, mayKill = false, yes = false } = flags;
  const changes = changesOf({ lift: listOf(flags.lift), set: listOf(flags.set), scale: listOf(flags.scale) });
  if (changes === undefined && preset === undefined)
    throw new SluiceError(
      'invalid_request',
      'it is not said what to change',
      'say --lift net.external, --set cpu=4, --scale memory=1.5 or --preset NAME',
    );
  return {
    select: selectorOf(listOf(flags.select)),
    ...(changes !== undefined && { changes }),
    ...(preset !== undefined && { preset }),
    ...(name !== undefined && { name }),
    ...(id !== undefined && { id: idOf(id) }),
    ...(flags.percent !== undefined && { percent: numberOf('--percent', flags.percent, 1, 100) }),
    ...(flags.priority !== undefined && { priority: numberOf('--priority', flags.priority, -1_000, 1_000) }),
    ...timesOf(flags, now),
    ...{ reason: flags.reason ?? 'planned', force, squeeze, mayKill, all: yes },
  };
}

function idOf(word: string): SwitchId {
  const id = SwitchId.safeParse(word);
  if (id.success) return id.data;
  throw new SluiceError(
    'invalid_request',
    `${JSON.stringify(word)} is no switch's id`,
    'say one such as sw-3k9x0a2b, or none',
  );
}

function listOf(said: Said): readonly string[] {
  if (said === undefined) return [];
  return typeof said === 'string' ? [said] : said;
}

/** What is no number comes as NaN from yargs, and as a list when it was said twice. */
function numberOf(option: string, value: number, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw new SluiceError(
    'invalid_request',
    `${option} is no number from ${least} to ${most}`,
    `say ${option} ${Math.max(1, least) * 10}`,
  );
}
