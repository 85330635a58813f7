/** The `sluice` command against real daemons, on two nodes of a lab. Needs root. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { thisCheckout } from '../../lab/checkout.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { identify, type Outcome, run, startDaemon } from '../../linux/process.ts';

const SERVER = '192.0.2.1:7070';
let lab: Lab;
let a: LabNode;
let b: LabNode;

/** `sluice` for a node, from the machine's own network namespace. */
function outside(node: LabNode, ...args: string[]): Promise<Outcome> {
  const { SLUICE_STATE_DIR: _, ...env } = node.env;
  return run([thisCheckout().sluice, ...args], { env, timeoutMs: 60_000 });
}

async function json<T>(node: LabNode, ...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await node.sluice([...args, '--json']);
  if (code !== 0) throw new Error(`sluice ${args.join(' ')}: ${code}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as T;
}

const upOf = (node: LabNode): { pid: number } =>
  JSON.parse(readFileSync(`${node.runDir}/up.json`, 'utf8')) as { pid: number };

async function childOf(node: LabNode, daemon: string): Promise<number> {
  const { stdout } = await run(['pgrep', '-P', String(upOf(node).pid), '-f', `main.ts ${daemon}`]);
  return Number(stdout.trim());
}

async function kernelOf(node: LabNode): Promise<string> {
  const parts = [
    ['ip', '-o', 'link'],
    ['ip', 'route'],
    ['nft', 'list', 'ruleset'],
    ['tc', 'filter', 'show', 'dev', 'up0', 'ingress'],
    ['tc', 'filter', 'show', 'dev', 'up0', 'egress'],
    ['sysctl', 'net.ipv4.ip_forward', 'net.ipv4.fwmark_reflect'],
  ] as const;
  const outputs = await Promise.all(parts.map((argv) => node.exec(argv)));
  return outputs.join('\n').replaceAll(/qdisc \S+/g, '');
}

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  lab = await createLab({ prefix: 'clitest', nodes: ['a', 'b'] });
  a = lab.node('a');
  b = lab.node('b');
  mkdirSync(path.dirname(a.runDir), { recursive: true });
  writeFileSync(a.env['SLUICE_CONFIG']!, '# defaults\n');
});
afterAll(() => lab?.close());

describe('before anything runs', () => {
  it('says that nothing answers, and what to start', async () => {
    const { code, stdout } = await a.sluice(['status']);
    expect(code).toBe(5);
    expect(stdout).toContain('sluice up');
  });

  it('shows what up would change, and changes nothing', async () => {
    const before = await kernelOf(a);
    const { changes } = await json<{ changes: { kind: string; what: string }[] }>(
      a,
      'up',
      '--node',
      'a',
      '--uplink',
      'up0',
      '--dry-run',
    );
    const kinds = new Set(changes.map(({ kind }) => kind));
    expect([...kinds]).toEqual(
      expect.arrayContaining(['interface', 'sysctl', 'nftables', 'route', 'program', 'mount', 'file']),
    );
    expect(changes.map(({ what }) => what)).toContain('net.ipv4.ip_forward: 0 → 1');
    expect(await kernelOf(a)).toBe(before);
    expect(() => statSync(a.runDir)).toThrow(/ENOENT/);
  });

  it.each([
    ['an uplink that is not there', ['--uplink', 'nope'], 3, 'there is no interface nope'],
    ['an uplink that is no Ethernet', ['--uplink', 'lo'], 3, 'no Ethernet'],
    ['no uplink', [], 2, 'which interface'],
    ['a wrong node name', ['--uplink', 'up0', '--node', '../x'], 2, '--node'],
    [
      'both listen and join',
      ['--uplink', 'up0', '--listen', SERVER, '--join', SERVER],
      2,
      'mutually exclusive',
    ],
    ['join without a token', ['--uplink', 'up0', '--join', SERVER], 2, 'join token'],
    ['an unknown option', ['--uplnk', 'up0'], 2, 'uplnk'],
  ])('refuses %s', async (_, args, exitCode, words) => {
    const { code, stdout, stderr } = await a.sluice(['up', '--node', 'a', ...args]);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
    expect(stderr).toContain(words);
    expect(stderr).toContain('→');
  });

  it('refuses pools that the machine uses already', async () => {
    await a.exec(['ip', 'route', 'add', '10.70.0.0/16', 'via', '192.0.2.254']);
    const { code, stderr } = await a.sluice(['up', '--node', 'a', '--uplink', 'up0', '--dry-run']);
    await a.exec(['ip', 'route', 'delete', '10.70.0.0/16']);
    expect({ code, stderr }).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('10.70.0.0/16') as string,
    });
  });

  it('prints version, help and completion, and suggests what was meant', async () => {
    expect((await a.sluice(['version'])).stdout).toMatch(/^sluice \d+\.\d+\.\d+/);
    expect((await a.sluice(['--help'])).stdout).toContain('Exit codes');
    expect((await a.sluice(['netd', '--help'])).stdout).toContain('--uplink');
    expect((await a.sluice(['completion'])).stdout).toContain('sluice');
    const { code, stderr } = await a.sluice(['tenan', 'list']);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('tenant') as string });
  });
});

describe('two nodes', () => {
  let kernelBefore: string;

  beforeAll(async () => {
    kernelBefore = await kernelOf(b);
    await lab.start();
  });

  it('answers status from outside the network namespace of the node', async () => {
    const { code, stdout } = await outside(b, 'status', '--wait', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ready: true,
      node: 'b',
      daemons: [{ daemon: 'tagqueue' }, { daemon: 'netd' }, { daemon: 'storaged' }],
    });
  });

  it('makes, lists, shows and deletes tenants', async () => {
    const made = await json<{ tenant: string; tag: number }>(a, 'tenant', 'create', 'blue');
    expect(made).toEqual({ tenant: 'blue', tag: expect.any(Number) as number });
    expect((await a.sluice(['tenant', 'create', 'blue'])).code).toBe(1);
    await json(a, 'tenant', 'create', 'green', '--dry-run');
    expect(await json<object[]>(a, 'tenant', 'list')).toMatchObject([{ tenant: 'blue' }]);
    expect((await a.sluice(['tenant', 'show', 'green'])).code).toBe(4);
    await json(a, 'namespace', 'set', 'shop', 'blue');
    expect((await a.sluice(['tenant', 'delete', 'blue', '--yes'])).code).toBe(1);
    await json(a, 'namespace', 'delete', 'shop', '--yes');
    await json(a, 'tenant', 'delete', 'blue', '--yes');
    expect((await a.sluice(['tenant', 'delete', 'blue', '--yes'])).code).toBe(4);
    expect(await json<{ operation: string }[]>(a, 'audit')).toContainEqual(
      expect.objectContaining({ operation: 'tenant.delete', subject: 'tenant blue' }),
    );
  });

  it('prints errors as a problem document with --json', async () => {
    const { code, stdout, stderr } = await a.sluice(['tenant', 'show', '..', '--json']);
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ code: 'invalid_request', status: 400 });
  });

  it('speaks to a server elsewhere with a token, and only with one', async () => {
    const { token } = await json<{ token: string }>(a, 'token', 'create', '--role', 'operator');
    const withToken = await b.sluice(['tenant', 'list', '--server', SERVER], {
      env: { SLUICE_TOKEN: token },
    });
    expect(withToken.code).toBe(0);
    expect((await b.sluice(['tenant', 'list', '--server', SERVER])).code).toBe(3);
  });

  it('gives a joined node the rights of a node and no more', async () => {
    expect(await json<object[]>(b, 'node', 'list')).toHaveLength(2);
    expect((await b.sluice(['tenant', 'create', 'x'])).code).toBe(3);
    expect(statSync(`${b.stateDir}/node.json`).mode & 0o777).toBe(0o600);
  });

  it('keeps addresses of a node for a container by name', async () => {
    await json(a, 'tenant', 'create', 'red');
    expect(await json(a, 'endpoint', 'reserve', 'red', 'web', '--internal', '10.64.0.77')).toMatchObject({
      internal: '10.64.0.77',
    });
    const container = await lab.container('a', 'red', 'web');
    const [shown] = await json<{ nics: { address: string }[] }[]>(a, 'endpoint', 'show', 'web');
    expect(shown?.nics.map(({ address }) => address)).toContain('10.64.0.77');
    await container.remove();
    await json(a, 'endpoint', 'release', 'red', 'web', '--yes');
    expect((await a.sluice(['endpoint', 'reserve', 'red', 'web'])).code).toBe(2);
  });

  it('shows refused packets as they come', async () => {
    const container = await lab.container('a', 'red', 'liar');
    const logFile = `${lab.directory}/drops`;
    writeFileSync(logFile, '');
    const drops = await startDaemon(
      ['sh', '-c', 'exec "$0" drops --follow --tenant red --json >"$1"', thisCheckout().sluice, logFile],
      { env: a.env },
    );
    const spoof = [
      'ip',
      'netns',
      'exec',
      container.namespace,
      'arping',
      '-c',
      '1',
      '-w',
      '1',
      '-U',
      '-I',
      'eth1',
      '-S',
      '10.64.0.200',
      '10.64.0.200',
    ] as const;
    for (let tries = 0; tries < 20 && !readFileSync(logFile, 'utf8').includes('arp_spoof'); tries++)
      await run(spoof);
    await drops.stop();
    await container.remove();
    const [first] = readFileSync(logFile, 'utf8').trim().split('\n');
    expect(JSON.parse(first ?? '')).toMatchObject({ reason: 'arp_spoof', tenant: 'red' });
  });

  it('finds nothing wrong with a node that is well, asked from outside', async () => {
    const { code, stdout } = await outside(a, 'doctor', '--json');
    const { checks } = JSON.parse(stdout) as { checks: { id: string; level: string }[] };
    expect(checks.filter(({ level }) => level === 'fail')).toEqual([]);
    expect(code).toBe(0);
    expect(checks.find(({ id }) => id === 'uplink')?.level).toBe('ok');
  });

  it('refuses a second up for the same run directory', async () => {
    const { code, stderr } = await a.sluice(['up', '--node', 'a', '--uplink', 'up0']);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('up already') as string,
    });
  });

  it('starts a daemon again that was killed', async () => {
    const killed = await childOf(b, 'netd');
    process.kill(killed, 'SIGKILL');
    let now = 0;
    for (let tries = 0; tries < 500 && (now === 0 || now === killed); tries++) now = await childOf(b, 'netd');
    expect([0, killed]).not.toContain(now);
    expect((await outside(b, 'status', '--wait', '--timeout', '20')).code).toBe(0);
  });

  it('takes over from an up that was killed, needs no token for it, and leaves no daemon behind', async () => {
    const daemons = await Promise.all(['netd', 'tagqueue'].map((daemon) => childOf(b, daemon)));
    process.kill(upOf(b).pid, 'SIGKILL');
    const again = await startDaemon(
      [
        'nsenter',
        `--net=${b.netns}`,
        '--',
        thisCheckout().sluice,
        'up',
        '--node',
        'b',
        '--uplink',
        'up0',
        '--join',
        SERVER,
      ],
      { env: b.env, logFile: b.logFile },
    );
    await b.exec([
      'sh',
      '-c',
      `for i in $(seq 200); do grep -q '"pid": ${again.id.pid},' ${b.runDir}/up.json && exit; sleep 0.05; done; exit 1`,
    ]);
    expect((await outside(b, 'status', '--wait', '--timeout', '20')).code).toBe(0);
    for (const pid of daemons) expect(identify(pid)).toBeUndefined();
  });

  it('stops at SIGTERM with exit code 0 and leaves containers attached', async () => {
    const container = await lab.container('a', 'red', 'stays');
    await a.stop();
    const links = await a.exec(['ip', '-o', 'link', 'show', 'master', 'si-a', 'type', 'veth']);
    // Beside the shaper's end.
    expect(
      links
        .trim()
        .split('\n')
        .filter((line) => !line.includes(' sri-a@')),
    ).toHaveLength(1);
    await a.start({ listen: SERVER });
    expect(await json<object[]>(a, 'endpoint', 'list')).toHaveLength(1);
    await container.remove();
  });

  it('takes everything down from outside the namespace, and back to what it was', async () => {
    const planned = await outside(b, 'down', '--dry-run', '--json');
    expect((JSON.parse(planned.stdout) as { would: string[] }).would).toContain('bridge si-b');
    const { code, stdout, stderr } = await outside(b, 'uninstall', '--yes', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ node: 'b', failed: [], left: [] });
    expect(await kernelOf(b)).toBe(kernelBefore);
    expect(() => statSync(b.runDir)).toThrow(/ENOENT/);
    expect(() => statSync(b.stateDir)).toThrow(/ENOENT/);
    expect((await b.sluice(['uninstall', '--yes', '--node', 'b'])).code).toBe(0);
  });

  it('forgets a node that is gone', async () => {
    await json(a, 'node', 'remove', 'b', '--yes');
    expect((await a.sluice(['node', 'show', 'b'])).code).toBe(4);
  });
});
