/** `sluice guard`: what tenants may do on the internet side. */
import type { Argv } from 'yargs';
import { readTextIfThere } from '../../linux/files.ts';
import { Ipv4 } from '../../model/addresses.ts';
import { SluiceError } from '../../model/errors.ts';
import { GUARD_PROTOCOLS, GuardProtocol, GuardRules, type TenantLimits } from '../../model/guard.ts';
import { domainOf } from '../../tagqueue/guard/client-hello.ts';
import { compilePolicy, type Foretold } from '../../tagqueue/guard/policy.ts';
import { parseYaml } from '../config-file.ts';
import { show, table } from '../output.ts';
import { change } from './change.ts';
import { listAll, pathTo, type ServerFlags, withServer } from './clients.ts';
import { type Common, changing, destroying, type Root, server } from './options.ts';

const PATH = '/v1/guards';
const EXPLAINED = 'docs/guard.md explains every key';
const TENANT = { type: 'string', demandOption: true, describe: 'The tenant' } as const;

export function guard(yargs: Root): Argv {
  return server(yargs)
    .command(
      'apply <file>',
      "Set a tenant's rules from a YAML file, all of them",
      (y) =>
        changing(y.positional('file', { type: 'string', demandOption: true, describe: 'The file (YAML)' })),
      async (flags) => {
        const rules = readRules(flags.file);
        await change<GuardRules>(flags, {
          method: 'PUT',
          path: pathTo(PATH, rules.tenant),
          body: rules,
          what: `set the guard rules of tenant ${rules.tenant}: ${summaryOf(rules)}`,
          json: (applied) => applied,
          text: (applied) => `tenant ${applied.tenant} is guarded: ${summaryOf(applied)}`,
        });
      },
    )
    .command(
      ['list', 'ls'],
      'List the tenants that have rules',
      (y) => y,
      (flags) =>
        withServer(flags, async (client) => {
          const all = await listAll<GuardRules>(client, PATH);
          const rows = all.map((one) => [
            one.tenant,
            String(one.rules.length),
            one.default,
            limitOf(one.limits),
            one.egress.map(({ node, address }) => `${address} on ${node}`).join(', ') || '-',
          ]);
          const head = ['tenant', 'rules', 'default', 'limits', 'leaves by'];
          show(flags.json, all, () => table(head, rows, 'no tenant has rules: all may do anything'));
        }),
    )
    .command(
      'show <tenant>',
      "Show a tenant's rules",
      (y) => y.positional('tenant', TENANT),
      (flags) =>
        withServer(flags, async (client) => {
          const rules = (await client.request('GET', pathTo(PATH, flags.tenant))) as GuardRules;
          const { stringify } = await import('yaml');
          show(flags.json, rules, () => stringify(rules).trimEnd());
        }),
    )
    .command(
      ['delete <tenant>', 'rm'],
      'Forget the rules of a tenant: it may do anything on the internet side',
      (y) => destroying(y.positional('tenant', TENANT)),
      (flags) =>
        change(
          flags,
          {
            method: 'DELETE',
            path: pathTo(PATH, flags.tenant),
            what: `forget the guard rules of tenant ${flags.tenant}`,
            mustExist: pathTo(PATH, flags.tenant),
            json: () => ({ deleted: flags.tenant }),
            text: () => `tenant ${flags.tenant} is not guarded any more`,
          },
          true,
        ),
    )
    .command(
      'test <tenant>',
      'Say what would be decided about a flow; nothing is sent and nothing counted',
      (y) =>
        y
          .positional('tenant', TENANT)
          .option('domain', { type: 'string', describe: 'The name that the flow asks for' })
          .option('protocol', {
            choices: GUARD_PROTOCOLS,
            demandOption: true,
            describe: 'What the flow shows itself to be',
          })
          .option('destination', { type: 'string', default: '192.0.2.1', describe: 'The address it goes to' })
          .option('port', { type: 'number', describe: "Its port (default: the protocol's own)" }),
      (flags) => foretell(flags),
    )
    .demandCommand(1, 'say what to do with guard rules');
}

interface TestFlags extends Common, ServerFlags {
  readonly tenant: string;
  readonly domain?: string | undefined;
  readonly protocol: string;
  readonly destination: string;
  readonly port?: number | undefined;
}

const USUAL_PORTS: Readonly<Partial<Record<GuardProtocol, number>>> = {
  ...{ tls: 443, http: 80, dns: 53, ssh: 22, quic: 443 },
};

async function foretell(flags: TestFlags): Promise<void> {
  const protocol = GuardProtocol.parse(flags.protocol);
  const destination = Ipv4.safeParse(flags.destination);
  if (!destination.success) throw wrong(`${JSON.stringify(flags.destination)} is no IPv4 address`);
  const domain = flags.domain === undefined ? null : domainOf(flags.domain);
  if (flags.domain !== undefined && domain === null)
    throw wrong(`${JSON.stringify(flags.domain)} is no name`);
  await withServer(flags, async (client) => {
    const rules = (await client.request('GET', pathTo(PATH, flags.tenant))) as GuardRules;
    const port = flags.port ?? USUAL_PORTS[protocol];
    const told = compilePolicy(rules).foretell({
      destination: destination.data,
      port,
      seen: { protocol, domain },
    });
    show(flags.json, { ...told, ...(rules.limits && { limits: rules.limits }) }, () => textOf(told, rules));
  });
}

function textOf({ verdict, rule, limit }: Foretold, { limits }: GuardRules): string {
  const what = limit === undefined ? `${verdict}, by rule ${rule}` : `rule ${rule}: up to ${limitOf(limit)}`;
  return limits === undefined ? what : `${what}; the tenant as a whole up to ${limitOf(limits)}`;
}

function limitOf(limits: TenantLimits | undefined): string {
  const { newPerSecond, concurrent } = limits ?? {};
  const parts = [
    ...(newPerSecond === undefined ? [] : [`${newPerSecond} new flows a second`]),
    ...(concurrent === undefined ? [] : [`${concurrent} at one time`]),
  ];
  return parts.join(', ') || '-';
}

function summaryOf({ rules, limits, default: otherwise }: GuardRules): string {
  const whole = limits === undefined ? '' : `; at most ${limitOf(limits)}`;
  return `${rules.length} rules, else ${otherwise}${whole}`;
}

function readRules(file: string): GuardRules {
  const text = readTextIfThere(file);
  if (text !== undefined) return parseYaml(text, file, GuardRules, EXPLAINED);
  throw new SluiceError('not_found', `there is no file ${file}`, EXPLAINED);
}

function wrong(message: string): SluiceError {
  return new SluiceError('invalid_request', message, 'see: sluice guard test --help');
}
