/** A15 to A17 on the whole system: Gluster's ports, other tenants' volumes, directories to mount at, devices and set-user-id files. */
import { lstatSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Podman, podmanOn, removeContainers } from '../../cli/sample/podman.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import { type ApiClient, localClient } from '../../linux/api-client.ts';
import { openNetns } from '../../linux/netns.ts';
import { askTcp } from '../../linux/probe-sockets.ts';
import { startDaemon } from '../../linux/process.ts';
import type { Ipv4 } from '../../model/addresses.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { VolumeShown } from '../../model/volume-request.ts';
import { shellImage } from '../runtimes/images.ts';
import { until } from '../runtimes/until.ts';
import { line } from './attack.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SILENCE_MS = 400;

let lab: Lab;
let storaged: ApiClient;
let podman: Podman;
let volume: string;

interface Actor {
  readonly id: string;
  readonly pid: number;
  readonly netns: string;
  readonly addresses: readonly Ipv4[];
}
const actors = new Map<string, Actor>();
const actor = (name: string): Actor => actors.get(name)!;

async function sluice(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.node('a').sluice(words);
  if (code !== 0) throw new Error(`sluice ${words.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

async function startActor(tenant: string, name: string): Promise<void> {
  await podman.start(tenant, name, ['--cap-add', 'MKNOD'], ['sleep', '2147483647']);
  const pid = Number(await podman.call(['inspect', '--format', '{{.State.Pid}}', name]));
  const [one] = JSON.parse(await sluice('endpoint', 'show', name, '--json')) as Endpoint[];
  if (one === undefined) throw new Error(`netd does not know ${name}`);
  const gateways = (await podman.exec(name, ['ip', 'route'])).match(/(?<=via )\S+/g) ?? [];
  actors.set(name, {
    ...{ id: one.containerId, pid, netns: one.netns },
    addresses: [...new Set(gateways)] as Ipv4[],
  });
}

const mount = (more: object): Promise<unknown> =>
  storaged.request('PUT', '/v1/mounts', { volume, container: actor('b1').id, ...more });

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test builds networks and mounts: run it as root');
  lab = await createLab({ prefix: 'vcatk', nodes: ['a', 'b'], beforeRemoval: removeContainers });
  podman = podmanOn(lab.node('a'), ['blue', 'red'], path.join(ROOT, 'bin'));
  await lab.start({ storage: { bricks: 'on' } });
  for (const tenant of ['blue', 'red']) await lab.tenant(tenant);
  const words = ['--tenant', 'blue', '--size', '1GiB', '--thin', '--json'];
  const [made] = await Promise.all([
    sluice('volume', 'create', 'shared', ...words),
    shellImage().then(({ archive }) => podman.load(archive)),
  ]);
  volume = (JSON.parse(made) as VolumeShown).volume.id;
  storaged = localClient(`${lab.node('a').runDir}/storaged.sock`);
  await startActor('blue', 'b1');
  await startActor('red', 'r1');
  await mount({ into: { pid: actor('b1').pid, directory: '/data' } });
}, 90_000);

afterAll(async () => {
  storaged?.close();
  await lab?.close();
}, 60_000);

/** Of Gluster, on all addresses of the node. */
async function listeningOn(node: string): Promise<number[]> {
  const text = await lab.node(node).exec(['ss', '-Hltnp']);
  return text
    .split('\n')
    .filter((one) => one.includes('gluster'))
    .map((one) => Number(/:(\d+)\s/.exec(one)?.[1]));
}

/** @returns those that gave any answer at all */
async function knock(from: string, to: readonly Ipv4[], ports: readonly number[]): Promise<string[]> {
  using netns = openNetns(from);
  const answers = to.flatMap((address) =>
    ports.map(async (port) => {
      const { state } = await askTcp(netns, { address, port }, '', SILENCE_MS);
      return state === 'silent' ? [] : [`${address}:${port} ${state}`];
    }),
  );
  return (await Promise.all(answers)).flat();
}

it('A16: no container reaches a port of Gluster, by any address, and nodes do', async () => {
  const used = [...new Set((await Promise.all(['a', 'b'].map(listeningOn))).flat())];
  expect(used).toContain(24_007);
  expect(used.some((port) => port >= 49_152)).toBe(true);
  const [a, b] = [lab.node('a'), lab.node('b')];
  expect(await knock(a.netns, [b.address], [24_007])).toEqual([expect.stringMatching(/open|answered/)]);
  const ports = [...new Set([...used, 24_007, 24_008, 49_152, 49_153, 55_000, 60_999])];
  const reached: string[] = [];
  let tried = 0;
  for (const { netns, addresses } of actors.values()) {
    const to = [...addresses, a.address, b.address];
    tried += to.length * ports.length;
    reached.push(...(await knock(netns, to, ports)));
  }
  line('A16', "Gluster's ports, from containers of both tenants", tried, tried - reached.length);
  expect(reached).toEqual([]);
}, 30_000);

it("A16: no container gets another tenant's volume, whoever asks for it", async () => {
  const { id, pid } = actor('r1');
  const attempts = [
    ...[{ into: null }, { into: { pid, directory: '/data' } }, { into: null, subDirectory: '/x' }],
    { into: null, readOnly: true },
  ];
  const refused = await Promise.all(
    attempts.map((more) => mount({ container: id, ...more }).then(() => 'mounted', codeOf)),
  );
  const survived = refused.filter((code) => code === 'refused').length;
  line('A16', "a container of red for blue's volume", attempts.length, survived);
  expect(refused).toEqual(attempts.map(() => 'refused'));
  expect(mountsIn(pid)).toEqual([]);
}, 30_000);

it('A16: nothing of Gluster itself is to be found in a volume', async () => {
  const words = ['.meta', '.meta/version', '.glusterfs', '.shard', '.trashcan'];
  const found: string[] = [];
  for (const word of words) {
    const text = await podman.exec('b1', ['sh', '-c', `cat /data/${word}/* /data/${word} 2>/dev/null; true`]);
    if (text !== '') found.push(word);
  }
  line('A16', "Gluster's own files and directories", words.length, words.length - found.length);
  expect(found).toEqual([]);
}, 30_000);

it('A15: nothing is mounted outside of what may be mounted at, by no words', async () => {
  const { pid } = actor('b1');
  const before = mountsIn(pid);
  const directories = [
    ...['/', '/etc', '/etc/x', '/proc', '/proc/1/root', '/sys/fs', '/dev', '/dev/shm', '/bin', '/usr/lib'],
    ...['/data/../etc', '/../../etc', '/./etc', 'etc', '', '/x/', '//etc', '/a\0b', `/${'a'.repeat(2_000)}`],
  ];
  const codes = await Promise.all(
    directories.map((directory) => mount({ into: { pid, directory } }).then(() => 'mounted', codeOf)),
  );
  const bad = codes.filter((code) => code !== 'refused' && code !== 'invalid_request');
  line(
    'A15',
    'directories of the system, and words that lead there',
    codes.length,
    codes.length - bad.length,
  );
  expect(bad).toEqual([]);
  const machine = { into: { pid: process.pid, directory: '/vcatk' } };
  await expect(mount(machine)).rejects.toMatchObject({ code: 'refused' });
  expect(mountsIn(pid)).toEqual(before);
}, 30_000);

it('A15: a directory that is exchanged for a link while it is mounted leads nowhere else', async () => {
  const { pid } = actor('b1');
  const inside = ['nsenter', '--target', String(pid), '--mount', '--', '/bin/busybox', 'sh', '-c'] as const;
  await podman.exec('b1', ['mkdir', '-p', '/srv']);
  const swapper = await startDaemon([
    ...inside,
    'while :; do rm -f /srv/x/etc; rmdir /srv/x/sub; rmdir /srv/x; mkdir /srv/x; rmdir /srv/x; ln -s /etc /srv/x; sleep 0.01; rm /srv/x; done 2>/dev/null',
  ]);
  const isLink = (): boolean =>
    lstatSync(`/proc/${pid}/root/srv/x`, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  await until('the directory is exchanged', isLink);
  const tried = 12;
  const outcomes = new Map<string, number>();
  const astray: string[] = [];
  for (let i = 0; i < tried; i += 1) {
    const into = { pid, directory: i % 2 === 0 ? '/srv/x' : '/srv/x/sub' };
    const outcome = await mount({ into, subDirectory: '/swapped' }).then(async (mounted) => {
      astray.push(...mountsIn(pid).filter((point) => !/^\/(?:data|srv\/x(?:\/sub)?)$/.test(point)));
      await storaged.request('DELETE', `/v1/mounts/${(mounted as { id: string }).id}`);
      return 'mounted';
    }, codeOf);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  await until('it is exchanged still', isLink);
  await swapper.stop();
  const words = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ');
  line(
    'A15',
    'a directory exchanged for a link while it is mounted',
    tried,
    tried - astray.length,
    `  ${words}`,
  );
  expect(astray).toEqual([]);
  expect((await podman.exec('b1', ['cat', '/etc/passwd'])).startsWith('root:')).toBe(true);
}, 60_000);

it('A17: set-user-id files and devices of a volume are of no use', async () => {
  const inside = (...words: string[]): Promise<string> => podman.exec('b1', words);
  await inside(
    'sh',
    '-c',
    'cp /bin/busybox /data/busybox && chmod 4755 /data/busybox && mknod /data/zero c 1 5',
  );
  const uid = (await podman.call(['exec', '--user', '1000', 'b1', '/data/busybox', 'id', '-u'])).trim();
  const read = await inside('sh', '-c', 'head -c1 /data/zero >/dev/null 2>&1 && echo read || echo refused');
  // The same from where it may be: both means work.
  await inside('sh', '-c', 'mkdir -p /srv && mknod /srv/zero c 1 5 && head -c1 /srv/zero >/dev/null');
  const survived = Number(uid === '1000') + Number(read.trim() === 'refused');
  line('A17', 'a set-user-id program and a device on a volume', 2, survived);
  expect({ uid, read: read.trim() }).toEqual({ uid: '1000', read: 'refused' });
}, 30_000);

const codeOf = (error: { code?: string }): string => error.code ?? String(error);

/** Where volumes are mounted in a container. */
function mountsIn(pid: number): string[] {
  return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .split('\n')
    .filter((one) => one.includes('fuse.glusterfs') || one.includes(' sluice-'))
    .map((one) => one.split(' ')[4] ?? '');
}
