/** `sluice tenant`: who is kept apart from whom. */
import type { Argv } from 'yargs';
import type { Tenant } from '../../model/cluster.ts';
import { emptyPlan, TenantPlan } from '../../model/plan.ts';
import { show, table, timeOf } from '../output.ts';
import { change } from './change.ts';
import { listAll, pathTo, withServer } from './clients.ts';
import { type LimitWords, limitFlags, limitLines, withWords } from './limit-words.ts';
import { type Changing, changing, destroying, type Root, server } from './options.ts';
import { quotaText, volumeQuota } from './volume-words.ts';

const PATH = '/v1/tenants';
const PLANS = '/v1/plans';

export function tenant(yargs: Root): Argv {
  return server(yargs)
    .command(
      'create <tenant>',
      'Make a tenant; it gets the next tag',
      (y) => changing(y.positional('tenant', NAME)),
      (flags) =>
        change<Tenant>(flags, {
          method: 'POST',
          path: PATH,
          body: { tenant: flags.tenant },
          what: `create tenant ${flags.tenant}`,
          json: (made) => ({ tenant: made.tenant, tag: made.tag }),
          text: (made) => `tenant ${made.tenant} has tag ${made.tag}`,
        }),
    )
    .command(
      ['list', 'ls'],
      'List tenants',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const tenants = await listAll<Tenant>(client, PATH);
          const rows = tenants.map((one) => [one.tenant, String(one.tag), timeOf(one.createdAt)]);
          show(flags.json, tenants, () =>
            table(['tenant', 'tag', 'created'], rows, 'no tenants; make one: sluice tenant create NAME'),
          );
        }),
    )
    .command(
      'show <tenant>',
      'Show one tenant',
      (y) => y.positional('tenant', NAME),
      (flags) =>
        withServer(flags, async (client) => {
          const one = (await client.request('GET', pathTo(PATH, flags.tenant))) as Tenant;
          const plan = TenantPlan.parse(await client.request('GET', pathTo(PLANS, flags.tenant)));
          show(flags.json, { ...one, plan }, () => textOf(one, plan));
        }),
    )
    .command(
      'set <tenant>',
      "Change a tenant's plan; what is not named stays",
      (y) => planFlags(y.positional('tenant', NAME)),
      (flags) => setPlan(flags),
    )
    .command(
      ['delete <tenant>', 'rm'],
      'Forget a tenant; its tag is never given again',
      (y) => destroying(y.positional('tenant', NAME)),
      (flags) =>
        change(
          flags,
          {
            method: 'DELETE',
            path: pathTo(PATH, flags.tenant),
            what: `delete tenant ${flags.tenant}`,
            mustExist: pathTo(PATH, flags.tenant),
            json: () => ({ deleted: flags.tenant }),
            text: () => `tenant ${flags.tenant} is deleted`,
          },
          true,
        ),
    )
    .demandCommand(1, 'say what to do with tenants');
}

function planFlags<T>(yargs: Argv<T>): Argv<T & PlanWords> {
  return changing(limitFlags(yargs))
    .option('share', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Of all its containers on one node together: net.external.out=1Gbit',
    })
    .option('unset-share', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'Say nothing of a field of the share any longer',
    })
    .option('borrow', {
      type: 'boolean',
      describe: 'Whether a container may use what its siblings leave of the share',
    })
    .option('priority', {
      type: 'number',
      describe: 'The lowest are squeezed first (-1000 to 1000, ordinary is 0)',
    })
    .option('volumes', { type: 'string', describe: 'How many volumes it may make itself, or unlimited' })
    .option('volume-bytes', {
      type: 'string',
      describe: 'How large these may be together: 100GiB, or unlimited',
    })
    .option('clear', { type: 'boolean', default: false, describe: 'Forget what the plan says, first' })
    .example(
      '$0 tenant set blue --limit cpu=1 --limit memory=512MiB --share net.external.out=1Gbit --borrow',
      '',
    )
    .example(
      '$0 tenant set batch --priority -10',
      'gives way when others are squeezed in',
    ) as unknown as Argv<T & PlanWords>;
}

interface PlanWords extends LimitWords {
  readonly share?: readonly string[] | undefined;
  readonly unsetShare?: readonly string[] | undefined;
  readonly borrow?: boolean | undefined;
  readonly priority?: number | undefined;
  readonly volumes?: string | undefined;
  readonly volumeBytes?: string | undefined;
  readonly clear: boolean;
}

interface SetPlanFlags extends PlanWords, Changing {
  readonly tenant: string;
  readonly server?: string | undefined;
}

async function setPlan(flags: SetPlanFlags): Promise<void> {
  const path = pathTo(PLANS, flags.tenant);
  await withServer(flags, async (client) => {
    const known = TenantPlan.parse(await client.request('GET', path));
    const from = flags.clear ? emptyPlan(known.tenant) : known;
    const plan: TenantPlan = {
      tenant: known.tenant,
      container: withWords(from.container, flags.limit, flags.unset),
      share: withWords(from.share, flags.share, flags.unsetShare, 'share'),
      borrow: flags.borrow ?? from.borrow,
      priority: flags.priority ?? from.priority,
      volumes: volumeQuota(from.volumes, flags),
    };
    if (flags.dryRun) {
      const what = `set the plan of tenant ${plan.tenant}`;
      const would = { dryRun: true, would: what, before: known, after: plan };
      return show(flags.json, would, () => [`would ${what} to:`, ...planLines(plan)].join('\n'));
    }
    const after = TenantPlan.parse(await client.request('PUT', path, plan));
    show(flags.json, after, () => [`the plan of tenant ${after.tenant}:`, ...planLines(after)].join('\n'));
  });
}

function textOf({ tenant: name, tag, createdAt }: Tenant, plan: TenantPlan): string {
  const head = `tenant   ${name}\ntag      ${tag}\ncreated  ${timeOf(createdAt)}`;
  return [head, 'plan', ...planLines(plan)].join('\n');
}

function planLines({ container, share, borrow, priority, volumes }: TenantPlan): string[] {
  const own = limitLines(container);
  const together = limitLines(share);
  return [
    ...(own.length === 0 ? ['  each container: what the cluster has for all'] : ['  each container']),
    ...own.map((line) => `    ${line}`),
    ...(together.length === 0 ? ['  together on a node: no limit'] : ['  together on a node']),
    ...together.map((line) => `    ${line}`),
    `  borrow from siblings: ${borrow ? 'yes' : 'no'}`,
    `  priority: ${priority}`,
    `  volumes of its own making: ${quotaText(volumes)}`,
  ];
}

const NAME = { type: 'string', demandOption: true, describe: "a-z, 0-9 and '-', at most 63" } as const;
