/** A13: the daemons' sockets and files, as a container that has become nobody on the host sees them (CVE-2020-15257). */
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { thisCheckout } from '../../lab/checkout.ts';
import type { LabNode } from '../../lab/node.ts';
import { type Outcome, run } from '../../linux/process.ts';
import { FENCE_PROBE_PORT } from '../../model/fence-probe.ts';
import { until } from '../runtimes/until.ts';
import { line } from './attack.ts';
import { worldForFile } from './world.ts';

const world = worldForFile('atksock');
const NOBODY = '65534';

/** All that is in a directory, with types and permissions. */
function everythingIn(
  directory: string,
): { readonly name: string; readonly mode: number; readonly kind: string }[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).map((entry) => {
    const name = path.join(entry.parentPath, entry.name);
    return { name, mode: lstatSync(name).mode & 0o777, kind: entry.isSocket() ? 'socket' : 'other' };
  });
}

function socketsOf({ runDir }: LabNode): string[] {
  return everythingIn(runDir)
    .filter(({ kind }) => kind === 'socket')
    .map(({ name }) => name);
}

describe('A13: sockets and files', () => {
  it.each(['a', 'b'])('A13: on node %s everything is closed to others', (name) => {
    const { runDir, stateDir } = world().lab.node(name);
    const all = [runDir, stateDir].flatMap(everythingIn);
    const open = all.filter(({ mode }) => (mode & 0o077) !== 0);
    line(
      'A13',
      `files and sockets of node ${name} that others could open`,
      all.length,
      all.length - open.length,
    );
    expect(open).toEqual([]);
    for (const directory of [runDir, stateDir]) expect(lstatSync(directory).mode & 0o777).toBe(0o700);
    const sockets = all.filter(({ kind }) => kind === 'socket');
    expect(sockets.length).toBeGreaterThanOrEqual(2);
    for (const { mode } of sockets) expect(mode).toBe(0o600);
  });

  it.each(['a', 'b'])(
    'A13: node %s has no abstract socket, and listens to the cluster API, its probes and the tunnel only',
    async (name) => {
      const node = world().lab.node(name);
      const unix = (await node.exec(['cat', '/proc/net/unix'])).split('\n').slice(1).filter(Boolean);
      const paths = unix.map((text) => text.split(/\s+/)[7] ?? '');
      expect(paths).toEqual(expect.arrayContaining(socketsOf(node)));
      const abstract = paths.filter((one) => one.startsWith('@'));
      line('A13', `abstract sockets of node ${name}`, paths.length, paths.length - abstract.length);
      expect(abstract).toEqual([]);
      const listening = async (): Promise<(string | undefined)[]> =>
        (await node.exec(['ss', '-Hltun']))
          .split('\n')
          .filter(Boolean)
          .map((text) => text.split(/\s+/)[4])
          .sort();
      // The tunnel's socket is the kernel's: what reaches its port has passed the uplink's programs or dies there.
      const gateway = name === 'a' ? '10.64.0.1' : '10.64.4.1';
      const probes = `${gateway}:${FENCE_PROBE_PORT}`;
      const expected = ['0.0.0.0:4789', '[::]:4789', probes];
      const api = name === 'a' ? [`${node.address}:7070`] : [];
      await until('the probes listen', async () => (await listening()).includes(probes));
      expect(await listening()).toEqual([...expected, ...api].sort());
    },
  );

  it('A13: nobody in a container of red reaches a socket; root of the host does by the same means', async () => {
    const { lab, red } = world();
    const scratch = mkdtempSync(path.join(tmpdir(), 'sluice-nobody-'));
    try {
      chmodSync(scratch, 0o755);
      const client = path.join(scratch, 'client');
      copyFileSync(thisCheckout().plugin, client);
      chmodSync(client, 0o755);
      const sockets = lab.nodes.flatMap(socketsOf);
      const reached: string[] = [];
      for (const [i, socket] of sockets.entries()) {
        // The plugin is a client that is at hand: it talks to whatever stands at netd.sock in the directory it is given.
        const runDir = path.join(scratch, String(i));
        symlinkInto(runDir, socket);
        const asRoot = await ask(client, runDir, []);
        expect(`${asRoot.stdout}${asRoot.stderr}`).not.toContain('ermission denied');
        const asNobody = await ask(
          client,
          runDir,
          ['--setuid', NOBODY, '--setgid', NOBODY],
          red.a1.container.netns,
        );
        if (!refused(asNobody)) reached.push(`${socket}: ${asNobody.stdout}`);
      }
      line(
        'A13',
        "the daemons' sockets, from a container, as nobody",
        sockets.length,
        sockets.length - reached.length,
      );
      expect(sockets).toHaveLength(7);
      expect(reached).toEqual([]);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  });
});

function symlinkInto(runDir: string, socket: string): void {
  mkdirSync(runDir, { mode: 0o755 });
  symlinkSync(socket, path.join(runDir, 'netd.sock'));
}

function ask(
  client: string,
  runDir: string,
  identity: readonly string[],
  netns = '/proc/self/ns/net',
): Promise<Outcome> {
  const stdin = JSON.stringify({ cniVersion: '1.1.0', name: 'tenants', type: 'sluice-cni', runDir });
  return run(['nsenter', `--net=${netns}`, ...identity, '--', client], {
    env: { PATH: process.env['PATH'], CNI_COMMAND: 'STATUS' },
    stdin,
  });
}

const refused = ({ code, stdout }: Outcome): boolean => code !== 0 && stdout.includes('ermission denied');
