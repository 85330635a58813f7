/** `sluice up --uplink IF` on a machine as it is, without a word of configuration, and all of it undone. Needs root. */
import path from 'node:path';
import { thisCheckout } from '../../lab/checkout.ts';
import { NETWORK } from '../../lab/cni.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import { type Daemon, type Outcome, run } from '../../linux/process.ts';
import { type Machine, type MachineState, machineOn } from '../runtimes/machine.ts';
import { until } from '../runtimes/until.ts';

const { sluice: SLUICE, plugin: PLUGIN } = thisCheckout();
const ROOT = path.dirname(path.dirname(SLUICE));
let lab: Lab;
let machine: Machine;
let untouched: MachineState;
let settings: ReadonlyMap<string, string>;
let up: Daemon;

interface Change {
  readonly kind: string;
  readonly what: string;
}

const sluice = (...args: string[]): Promise<Outcome> => machine.run([SLUICE, ...args]);

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await sluice(...args);
  expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' });
  return stdout;
}

async function announced(): Promise<readonly Change[]> {
  const { changes } = JSON.parse(await done('up', '--uplink', 'up0', '--dry-run', '--json')) as {
    changes: Change[];
  };
  return changes;
}

async function startUp(): Promise<void> {
  up = await machine.start([SLUICE, 'up', '--uplink', 'up0'], `${lab.directory}/up.log`);
  await done('status', '--wait', '--timeout', '30');
}

/** Attaches a new namespace as a runtime would, with the default paths. @returns its internal address */
async function attach(name: string, tenant: string, hostPort?: number): Promise<string> {
  await machine.exec(['ip', 'netns', 'add', name]);
  const portMappings = hostPort === undefined ? [] : [{ hostPort, containerPort: 80, protocol: 'tcp' }];
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: name,
    CNI_NETNS: `/run/netns/${name}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: PLUGIN.slice(0, PLUGIN.lastIndexOf('/')),
    CNI_ARGS: `SLUICE_TENANT=${tenant}`,
  };
  const stdin = JSON.stringify({ ...NETWORK, runtimeConfig: { portMappings } });
  const { ips } = JSON.parse(await machine.exec([PLUGIN], { env, stdin })) as { ips: { address: string }[] };
  return ips[1]!.address.split('/')[0]!;
}

async function reaches(from: string, address: string): Promise<boolean> {
  return (await machine.run(['ip', 'netns', 'exec', from, 'ping', '-c', '1', '-W', '1', address])).code === 0;
}

/** Every object of the fence in the kernel: what is attached, and the maps that it uses. */
async function fenceObjects(): Promise<{ kind: 'prog' | 'map'; id: number }[]> {
  const [{ tc }] = JSON.parse(await machine.exec(['bpftool', '--json', 'net', 'show'])) as [
    { tc: { id: number }[] },
  ];
  const programs = [...new Set(tc.map(({ id }) => id))];
  const maps = new Set<number>();
  for (const id of programs) {
    const shown = await machine.exec(['bpftool', '--json', 'prog', 'show', 'id', String(id)]);
    for (const map of (JSON.parse(shown) as { map_ids?: number[] }).map_ids ?? []) maps.add(map);
  }
  return [
    ...programs.map((id) => ({ kind: 'prog', id }) as const),
    ...[...maps].map((id) => ({ kind: 'map', id }) as const),
  ];
}

/** The kernel frees them a moment after the last user is gone, and gives no number twice. */
async function freed(objects: Awaited<ReturnType<typeof fenceObjects>>): Promise<void> {
  for (const { kind, id } of objects) {
    await until(
      `${kind} ${id} is freed`,
      async () => (await run(['bpftool', kind, 'show', 'id', String(id)])).code !== 0,
    );
  }
}

async function removeContainers(...names: string[]): Promise<void> {
  for (const name of names) await machine.exec(['ip', 'netns', 'delete', name]);
}

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes namespaces: run it as root');
  lab = await createLab({ prefix: 'uptest', nodes: ['m'] });
  machine = await machineOn(lab.node('m'));
  untouched = await machine.state();
  settings = await machine.sysctls();
});
afterAll(async () => {
  await up?.stop();
  await machine?.stop();
  await lab?.close();
});

describe('a machine as it is', () => {
  let changes: readonly Change[];
  let now: MachineState;
  const of = (kind: string): string =>
    changes
      .filter((one) => one.kind === kind)
      .map(({ what }) => what)
      .join('\n');
  const added = (look: string): string[] =>
    now[look]!.split('\n').filter((line) => !untouched[look]!.includes(line));

  it('is told what up would change, and is not changed', async () => {
    changes = await announced();
    expect(new Set(changes.map(({ kind }) => kind))).toEqual(
      new Set(['interface', 'sysctl', 'route', 'nftables', 'program', 'mount', 'file', 'listen']),
    );
    expect((await sluice('up', '--uplink', 'up0', '--dry-run')).stdout).toContain(
      'net.ipv4.ip_forward: 0 → 1',
    );
    expect(await machine.state()).toEqual(untouched);
  });

  it('is changed in what was announced, and in nothing else', async () => {
    await startUp();
    now = await machine.state();
    const links = added('links').flatMap((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? []);
    const shapers = ['soe-machine', 'soi-machine', 'sre-machine', 'sri-machine'];
    expect(links.sort()).toEqual(['se-machine', 'sh-machine', 'si-machine', ...shapers, 'sx-machine']);
    for (const link of links) {
      if (shapers.includes(link)) expect(of('interface')).toMatch(new RegExp(`veth pair .*\\b${link}\\b`));
      else expect(of('interface')).toContain(`${/^s[hx]-/.test(link) ? 'vxlan device' : 'bridge'} ${link}`);
    }

    const changed = [...(await machine.sysctls())].filter(
      ([name, value]) => settings.has(name) && settings.get(name) !== value,
    );
    expect(changed).not.toEqual([]);
    for (const [name, value] of changed) {
      const follows = /^net\.ipv4\.conf\.(.+\.forwarding|all\.accept_redirects)$/.test(name);
      const words = follows ? 'which follow ip_forward' : `${name}: ${settings.get(name)} → ${value}`;
      expect(of('sysctl')).toContain(words);
    }

    const tables = added('nftables').flatMap((line) => /^table (\w+ \S+)/.exec(line)?.[1] ?? []);
    expect(tables.length).toBe(of('nftables').split('\n').length);
    for (const table of tables) expect(of('nftables')).toContain(`table ${table}`);
    for (const direction of ['ingress', 'egress']) {
      expect(now[direction]).not.toBe(untouched[direction]);
      expect(of('program')).toContain(`eBPF on up0 ${direction}`);
    }
  });

  it('has the files and mounts that were announced', () => {
    const mounted = added('mounts').map((line) => line.split(' ')[4]!);
    for (const point of mounted) expect(of('mount')).toContain(point);

    const places = added('files')
      .map((line) => line.split(' ')[3]!)
      .filter((path) => path !== '');
    expect(places.length).toBeGreaterThan(5);
    for (const path of places) expect(path).toMatch(/^\/(run|var\/lib)\/sluice(\/|$)/);
  });

  it('listens where it was announced, and nowhere else', () => {
    const ports = added('listening').map((line) => {
      const [protocol = '', , , , at = ''] = line.split(/\s+/);
      return `${protocol.toUpperCase()} ${at.slice(at.lastIndexOf(':') + 1)}`;
    });
    expect(ports).not.toEqual([]);
    for (const port of ports) expect(of('listen')).toContain(port);
  });

  it('runs containers of two tenants, and keeps them apart', async () => {
    for (const tenant of ['blue', 'red']) await done('tenant', 'create', tenant);
    await attach('b1', 'blue', 8080);
    const b2 = await attach('b2', 'blue');
    const r1 = await attach('r1', 'red');
    expect([await reaches('b1', b2), await reaches('b1', r1), await reaches('r1', b2)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('leads them out through its address, and the internet to the port they publish', async () => {
    const { address } = lab.node('m');
    const curl = ['curl', '--silent', '--max-time', '3'] as const;
    const asked = await machine.exec([
      'ip',
      'netns',
      'exec',
      'b1',
      ...curl,
      `http://${lab.internet.address}/`,
    ]);
    expect(asked).toBe(`${address}\n`);
    const server = ['ip', 'netns', 'exec', 'b1', 'busybox', 'httpd', '-f', '-p', '80', '-h', ROOT] as const;
    const http = await machine.start(server, `${lab.directory}/http.log`);
    const ask = [
      'nsenter',
      `--net=${lab.internet.netns}`,
      ...curl,
      `http://${address}:8080/LICENSE`,
    ] as const;
    await until('the page comes', async () => (await run(ask)).stdout.includes('Apache License'));
    await http.stop();
  });

  it('is what it was after uninstall, with containers attached', async () => {
    const objects = await fenceObjects();
    expect(objects.filter(({ kind }) => kind === 'map').length).toBeGreaterThan(3);
    const planned = await done('uninstall', '--dry-run');
    for (const what of ['bridge si-machine', 'bridge se-machine', '/var/lib/sluice/'])
      expect(planned).toContain(what);

    const report = JSON.parse(await done('uninstall', '--yes', '--json')) as object;
    expect(report).toMatchObject({ node: 'machine', failed: [], left: [] });
    expect(await up.exited).toBe(0);
    await removeContainers('b1', 'b2', 'r1');
    await freed(objects);
    expect(await machine.state()).toEqual(untouched);
  });

  it('has nothing more to lose', async () => {
    expect(await done('uninstall', '--yes')).toContain('there was nothing');
    expect(await machine.state()).toEqual(untouched);
  });

  it('is what it was, too, after everything of ours was killed', async () => {
    await startUp();
    await done('tenant', 'create', 'blue');
    await attach('b3', 'blue', 8080);
    const objects = await fenceObjects();
    for (const pid of machine.processes()) process.kill(pid, 'SIGKILL');
    await up.exited;

    await done('uninstall', '--yes');
    await removeContainers('b3');
    await freed(objects);
    expect(await machine.state()).toEqual(untouched);
  });
});
