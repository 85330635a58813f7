/** A12: hostile names and hostile JSON, through the plugin and through the server's API. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { thisCheckout } from '../../lab/checkout.ts';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import { localClient } from '../../linux/api-client.ts';
import { run } from '../../linux/process.ts';
import { withoutCounts } from '../runtimes/traces.ts';
import { line } from './attack.ts';

const canary = mkdtempSync(path.join(tmpdir(), 'sluice-canary-'));
const SHELL = `touch ${canary}/x`;
const LONG = 'x'.repeat(65_536);

/** No name of ours may look like one of these. */
const NAMES: readonly string[] = [
  ...[
    '',
    ' ',
    'a b',
    '.',
    '..',
    '/',
    '../../../../tmp/x',
    '/etc/passwd',
    'a/../../b',
    `${canary}/x`,
    '..\\..\\x',
  ],
  ...['a\0b', '\0', 'a\nb', 'a\r\nx-injected: 1', 'a\tb', '\u001b[2J', 'a\u202eb', 'ｂｌｕｅ', 'é', '\ud800'],
  ...[
    `$(${SHELL})`,
    `\`${SHELL}\``,
    `; ${SHELL}`,
    `| ${SHELL}`,
    `&& ${SHELL} &`,
    `'${SHELL}'`,
    `"; ${SHELL}; "`,
  ],
  ...[
    '-',
    '--help',
    '%2e%2e%2f',
    '%00',
    '%n%s',
    '{{7*7}}',
    '$IFS',
    "'; drop table entries; --",
    '*',
    '~',
    '__proto__',
  ],
  LONG,
];
/** The kernel takes these as names of interfaces, and no program is ever run with one. */
const KERNEL_TAKES = ['-', '--help', '__proto__'];

/** Standard input, or the body of a request, that is no configuration. */
const DOCUMENTS: readonly string[] = [
  ...[
    '',
    ' ',
    'null',
    'true',
    '0',
    '1e999',
    '"x"',
    '[]',
    '[{}]',
    '{}',
    '{',
    '}',
    '{"',
    '{"a"',
    '{"a":',
    "{'a':1}",
    '{"a":1,}',
  ],
  ...[
    '\ufeff{}',
    '\0',
    '{}\0',
    '{}{}',
    '//x\n{}',
    'NaN',
    '{"a":NaN}',
    '{"a":\u0001}',
    '{"\\ud800":1}',
    `{"a":"${LONG}"}`,
  ],
  ...[
    '['.repeat(100_000),
    '{"a":'.repeat(50_000),
    `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    ' '.repeat(1_200_000),
  ],
  '{"__proto__":{"tenant":"red","trustArgs":true}}',
  '{"constructor":{"prototype":{"tenant":"red"}}}',
];

let lab: Lab;
let container: LabContainer;

beforeAll(async () => {
  lab = await createLab({ prefix: 'atkname', nodes: ['a'] });
  await lab.start();
  await lab.tenant('red');
  container = await lab.container('a', 'red', 'honest');
});

afterAll(async () => {
  await lab?.close();
  rmSync(canary, { recursive: true });
});

type Env = Readonly<Record<string, string>>;
interface Answer {
  readonly failed: boolean;
  readonly text: string;
}

/** Through the plugin; a NUL fits no environment, so those go to netd as the relay would send them. */
async function plugin(env: Env, stdin: string): Promise<Answer> {
  const all: Env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: container.netns,
    CNI_IFNAME: 'eth0',
    ...env,
  };
  if (Object.values(all).some((value) => value.includes('\0') || !value.isWellFormed()))
    return asRelay(all, stdin);
  const { code, stdout } = await run([thisCheckout().plugin], {
    env: { PATH: process.env['PATH'], ...all },
    stdin,
  });
  return { failed: code !== 0, text: stdout };
}

async function asRelay(env: Env, stdin: string): Promise<Answer> {
  const headers = Object.entries(env).map(([name, value]) => [
    name.toLowerCase().replaceAll('_', '-'),
    encodeURIComponent(value.toWellFormed()),
  ]);
  const { status, text } = await http('netd.sock', 'POST', '/cni', stdin, Object.fromEntries(headers));
  return { failed: status !== 200, text };
}

/** One request to a daemon's socket, byte for byte. */
function http(
  socket: string,
  method: string,
  where: string,
  body: string,
  headers: Env = {},
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const socketPath = path.join(lab.node('a').runDir, socket);
    const json = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
    const sent = request({ socketPath, method, path: where, headers: { ...json, ...headers } }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const conf = (more: object = {}): string =>
  JSON.stringify({
    cniVersion: '1.1.0',
    name: 'tenants',
    type: 'sluice-cni',
    trustArgs: true,
    runDir: lab.node('a').runDir,
    ...more,
  });
const RED = 'IgnoreUnknown=1;SLUICE_TENANT=red';

/** Everything that could have changed. */
async function picture(): Promise<unknown> {
  const node = lab.node('a');
  const netd = localClient(`${node.runDir}/netd.sock`);
  const server = localClient(`${node.runDir}/server.sock`);
  try {
    const { snapshot } = (await server.request('GET', '/v1/cluster')) as { snapshot: unknown };
    return {
      endpoints: await netd.request('GET', '/v1/endpoints'),
      snapshot,
      tokens: await server.request('GET', '/v1/tokens'),
      links: (await node.exec(['ip', '-br', 'link'])).split('\n').map((text) => text.split(/\s/)[0]),
      rules: withoutCounts(await node.exec(['nft', 'list', 'ruleset'])),
      inside: await node.exec(['ip', '-netns', container.namespace, '-br', 'addr']),
      files: readdirSync(lab.directory, { recursive: true }).sort(),
      beside: readdirSync(path.dirname(thisCheckout().plugin)).sort(),
      canary: readdirSync(canary),
    };
  } finally {
    netd.close();
    server.close();
  }
}

/** @returns those that were not refused in good order */
async function notRefused(attempts: readonly (() => Promise<Answer>)[]): Promise<string[]> {
  const bad: string[] = [];
  for (const attempt of attempts) {
    const { failed, text } = await attempt();
    if (!failed || !isError(text)) bad.push(text.slice(0, 300));
  }
  return bad;
}

/** An error of the CNI specification, and not the one for what nobody foresaw. */
function isError(text: string): boolean {
  const error = JSON.parse(text) as { code?: unknown; msg?: unknown };
  return (
    typeof error.code === 'number' &&
    error.code !== 999 &&
    typeof error.msg === 'string' &&
    text.length < 8_192
  );
}

async function tryAll(what: string, attempts: readonly (() => Promise<Answer>)[]): Promise<void> {
  const before = await picture();
  const bad = await notRefused(attempts);
  line('A12', what, attempts.length, attempts.length - bad.length);
  expect(bad).toEqual([]);
  expect(await picture()).toEqual(before);
}

describe('A12: through the plugin', () => {
  it('A12: an honest call succeeds, and leaves nothing behind when it is taken back', async () => {
    const before = await picture();
    const spare = await lab.container('a', 'red', 'spare');
    expect(await picture()).not.toEqual(before);
    await spare.remove();
    expect(await picture()).toEqual(before);
  });

  it.each<[string, (name: string) => [Env, string]]>([
    ['container ids', (name) => [{ CNI_CONTAINERID: name, CNI_ARGS: RED }, conf()]],
    ['tenants in CNI_ARGS', (name) => [{ CNI_ARGS: `IgnoreUnknown=1;SLUICE_TENANT=${name}` }, conf()]],
    ['tenants in the configuration', (name) => [{}, conf({ tenant: name })]],
    ['container names', (name) => [{ CNI_ARGS: `${RED};SLUICE_NAME=${name}` }, conf()]],
    ['network names', (name) => [{ CNI_ARGS: RED }, conf({ name })]],
    ['aliases', (name) => [{ CNI_ARGS: RED }, conf({ runtimeConfig: { aliases: [name] } })]],
    ['inner interface names', (name) => [{ CNI_ARGS: RED }, conf({ internal: { interface: `${name}\n` } })]],
    ['addresses', (name) => [{ CNI_ARGS: RED }, conf({ runtimeConfig: { ips: [name] } })]],
    ['search domains', (name) => [{ CNI_ARGS: RED }, conf({ dns: { search: [`${name}\n`] } })]],
    [
      'protocols of ports',
      (name) => [
        { CNI_ARGS: RED },
        conf({ runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 1, protocol: `${name}!` }] } }),
      ],
    ],
    ['network namespaces', (name) => [{ CNI_NETNS: name, CNI_ARGS: RED }, conf()]],
  ])('A12: %s', async (what, make) => {
    await tryAll(
      what,
      NAMES.map((name) => () => plugin(...make(name))),
    );
  });

  it('A12: interface names', async () => {
    const names = NAMES.filter((name) => !KERNEL_TAKES.includes(name));
    await tryAll(
      'interface names',
      names.map((name) => () => plugin({ CNI_IFNAME: name, CNI_ARGS: RED }, conf())),
    );
  });

  it('A12: hostile JSON on standard input, for every verb that reads it', async () => {
    const verbs = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'];
    // What names no directory goes to the one of the environment, so that netd and not only the relay is asked.
    const env = { SLUICE_RUN_DIR: lab.node('a').runDir, CNI_ARGS: RED };
    const attempts = verbs.flatMap((verb) =>
      DOCUMENTS.map((document) => () => plugin({ ...env, CNI_COMMAND: verb }, document)),
    );
    await tryAll('JSON on standard input', attempts);
  });

  it('A12: keys that nobody asked for', async () => {
    const keys = [
      'extra',
      'Tenant',
      'tenant ',
      '__proto__x',
      'trustargs',
      'prevresult',
      'exec',
      'command',
      'SLUICE_TENANT',
    ];
    await tryAll(
      'unknown keys of the configuration',
      keys.map((key) => () => plugin({ CNI_ARGS: RED }, conf({ [key]: 'red' }))),
    );
  });
});

describe("A12: through the server's API", () => {
  const api = (method: string, where: string, body: string) => async (): Promise<Answer> => {
    const { status, text } = await http('server.sock', method, where, body);
    const problem = JSON.parse(text) as { code?: string; detail?: string };
    const wellRefused =
      status >= 400 && status < 500 && problem.code !== undefined && problem.code !== 'internal';
    return {
      failed: wellRefused,
      text: JSON.stringify({ code: status, msg: problem.detail?.slice(0, 100) ?? '' }),
    };
  };

  it.each<[string, (name: string) => [string, string, object]]>([
    ['names of new tenants', (tenant) => ['POST', '/v1/tenants', { tenant }]],
    ['tenants of namespaces', (tenant) => ['PUT', '/v1/namespaces/shop', { tenant }]],
    ['roles of tokens', (role) => ['POST', '/v1/tokens', { role }]],
    ['tenants of probes', (tenant) => ['POST', '/v1/probes', { node: 'a', tenant, ttlSeconds: 60 }]],
    ['nodes of probes', (node) => ['POST', '/v1/probes', { node, tenant: 'red', ttlSeconds: 60 }]],
    ['uplink addresses', (uplinkAddress) => ['PUT', '/v1/nodes/a', { uplinkAddress }]],
  ])('A12: %s', async (what, make) => {
    const attempts = NAMES.map((name) => {
      const [method, where, body] = make(name);
      return api(method, where, JSON.stringify(body));
    });
    await tryAll(`API: ${what}`, attempts);
  });

  it('A12: names in paths', async () => {
    const short = NAMES.filter((name) => name !== '' && name.length < 1_000).map((name) =>
      encodeURIComponent(name.toWellFormed()),
    );
    const attempts = ['tenants', 'nodes', 'namespaces', 'tokens', 'probes'].flatMap((kind) =>
      short.map((name) => api('DELETE', `/v1/${kind}/${name}`, '')),
    );
    const twisted = [
      '/v1/../v1/tenants/red',
      '/v1//tenants/red',
      '/v1/tenants/red/',
      '/v1/tenants/./red',
      '/v1/tenants/%2e%2e/red',
    ];
    await tryAll('API: names in paths', [...attempts, ...twisted.map((where) => api('DELETE', where, ''))]);
  });

  it('A12: hostile JSON', async () => {
    const bodies = DOCUMENTS.filter((document) => document !== '');
    const routes = ['/v1/tenants', '/v1/tokens', '/v1/probes'];
    await tryAll(
      'API: JSON',
      routes.flatMap((where) => bodies.map((body) => api('POST', where, body))),
    );
  });
});
