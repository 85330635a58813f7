/** `sluice endpoint`: the containers attached to this node, and addresses kept for containers to come. */
import type { Argv } from 'yargs';
import type { Endpoint, PublishedPort } from '../../model/endpoint.ts';
import { SluiceError } from '../../model/errors.ts';
import { confirm } from '../ask.ts';
import { show, table, timeOf } from '../output.ts';
import { pathTo, withDaemon } from './clients.ts';
import { requests, requestsFlags } from './endpoint-requests.ts';
import { labelContainer, labelFlags } from './limits-container.ts';
import { type Changing, type Common, changing, type Destroying, destroying, type Root } from './options.ts';

const PATH = '/v1/endpoints';
const RESERVATIONS = '/v1/reservations';

export function endpoint(yargs: Root): Argv {
  return yargs
    .command(
      ['list', 'ls'],
      'List the containers attached to this node',
      (y) =>
        y.option('reserved', {
          type: 'boolean',
          default: false,
          describe: 'The addresses that are kept instead',
        }),
      (flags) => (flags.reserved ? listReserved(flags) : list(flags)),
    )
    .command(
      'show <container>',
      'Show one container',
      (y) =>
        y.positional('container', {
          type: 'string',
          demandOption: true,
          describe: 'Its name, its id or the beginning of it',
        }),
      (flags) =>
        withDaemon('netd', async (client) => {
          const { endpoints } = (await client.request('GET', pathTo(PATH, flags.container))) as {
            endpoints: Endpoint[];
          };
          show(flags.json, endpoints, () => endpoints.map(textOf).join('\n\n'));
        }),
    )
    .command(
      'reserve <tenant> <name>',
      "Keep addresses of this node for a tenant's container of this name",
      reserveFlags,
      (flags) => reserve(flags),
    )
    .command(
      'release <tenant> <name>',
      'Keep them no longer',
      (y) => destroying(tenantAndName(y)),
      (flags) => release(flags),
    )
    .command(
      'label <container> <labels..>',
      'Give a container of this node labels, by which switches choose; NAME- takes one away',
      (y) => labelFlags(y),
      (flags) => labelContainer(flags),
    )
    .command(
      'requests [container]',
      'Show how busy containers are, or limit new connections to a busy one',
      requestsFlags,
      (flags) => requests(flags),
    )
    .demandCommand(1, 'say what to do with endpoints');
}

async function list({ json }: Common): Promise<void> {
  await withDaemon('netd', async (client) => {
    const { endpoints } = (await client.request('GET', PATH)) as { endpoints: Endpoint[] };
    show(json, endpoints, () => table(HEAD, endpoints.map(rowOf), 'no containers are attached'));
  });
}

interface Reservation {
  readonly tenant: string;
  readonly name: string;
  readonly internal: string | null;
  readonly external: string | null;
}

async function listReserved({ json }: Common): Promise<void> {
  await withDaemon('netd', async (client) => {
    const { reservations } = (await client.request('GET', RESERVATIONS)) as { reservations: Reservation[] };
    const rows = reservations.map((one) => [one.tenant, one.name, one.internal ?? '', one.external ?? '']);
    show(json, reservations, () =>
      table(['tenant', 'container', 'internal', 'external'], rows, 'no addresses are kept'),
    );
  });
}

function tenantAndName(y: Argv): Argv<{ tenant: string; name: string }> {
  return y
    .positional('tenant', { type: 'string', demandOption: true, describe: 'The tenant' })
    .positional('name', { type: 'string', demandOption: true, describe: "The container's name" }) as Argv<{
    tenant: string;
    name: string;
  }>;
}

function reserveFlags(y: Argv): Argv<ReserveFlags> {
  return changing(tenantAndName(y))
    .option('internal', { type: 'string', describe: 'An internal address of this node' })
    .option('external', {
      type: 'string',
      describe: 'An external address of this node',
    }) as unknown as Argv<ReserveFlags>;
}

interface ReserveFlags extends Changing {
  readonly tenant: string;
  readonly name: string;
  readonly internal?: string;
  readonly external?: string;
}

async function reserve({ tenant, name, internal, external, dryRun, json }: ReserveFlags): Promise<void> {
  if (internal === undefined && external === undefined) {
    throw new SluiceError(
      'invalid_request',
      'no address is named',
      'say --internal ADDRESS, --external ADDRESS or both',
    );
  }
  const body = { tenant, name, internal: internal ?? null, external: external ?? null };
  const addresses = [internal, external].filter((address) => address !== undefined).join(' and ');
  const what = `keep ${addresses} for container ${name} of tenant ${tenant}`;
  if (dryRun) return show(json, { dryRun: true, would: what }, () => `would ${what}`);
  await withDaemon('netd', async (client) => {
    const made = await client.request('POST', RESERVATIONS, body);
    show(
      json,
      made,
      () =>
        `${addresses} ${internal && external ? 'are' : 'is'} kept for container ${name} of tenant ${tenant}`,
    );
  });
}

async function release({
  tenant,
  name,
  dryRun,
  yes,
  json,
}: Destroying & { tenant: string; name: string }): Promise<void> {
  const what = `release what is kept for container ${name} of tenant ${tenant}`;
  if (dryRun) return show(json, { dryRun: true, would: what }, () => `would ${what}`);
  await confirm(what, yes);
  await withDaemon('netd', async (client) => {
    await client.request('DELETE', pathTo(RESERVATIONS, tenant, name));
    show(
      json,
      { released: { tenant, name } },
      () => `nothing is kept for container ${name} of tenant ${tenant}`,
    );
  });
}

const HEAD = ['container', 'name', 'tenant', 'phase', 'internal', 'external', 'ports'];

function rowOf(one: Endpoint): string[] {
  const address = (side: string): string => one.nics.find((nic) => nic.side === side)?.address ?? '';
  const id = one.containerId.slice(0, 12);
  return [
    id,
    one.containerName ?? '',
    one.tenant,
    one.phase,
    address('internal'),
    address('external'),
    one.ports.map(portOf).join(','),
  ];
}

function portOf({ hostIp, hostPort, containerPort, protocol }: PublishedPort): string {
  return `${hostIp === null ? '' : `${hostIp}:`}${hostPort}→${containerPort}/${protocol}`;
}

function textOf(one: Endpoint): string {
  const lines = [
    ['container', one.containerId],
    ['name', one.containerName ?? ''],
    ['tenant', `${one.tenant} (tag ${one.tag})`],
    ['phase', one.phase],
    ['network', one.network],
    ...one.nics.map((nic) => [
      nic.side,
      `${nic.address} on ${nic.ifName} (${nic.mac}, MTU ${nic.mtu}), here ${nic.hostIf}`,
    ]),
    ['ports', one.ports.map(portOf).join(', ')],
    ['namespace', one.netns],
    ['created', timeOf(one.createdAt)],
  ];
  return lines.map(([name = '', value = '']) => `${name.padEnd(9)}  ${value}`.trimEnd()).join('\n');
}
