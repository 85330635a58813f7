/** Containers see their own CPUs, memory and load, whoever started them, and nobody sees another's. Needs root and lxcfs. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { IMAGE, type Podman, podmanOn, removeContainers } from '../../cli/sample/podman.ts';
import { thisCheckout } from '../../lab/checkout.ts';
import { createLab, type Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { mountsOf } from '../../linux/mount-table.ts';
import { identify, runOk } from '../../linux/process.ts';
import { VIEW_FILES } from '../../qos/views/files.ts';
import { askNetd } from '../cni/verbs-lab.ts';
import { shellImage } from '../runtimes/images.ts';
import { inspect, network } from '../runtimes/podman.ts';
import { until } from '../runtimes/until.ts';
import { type PlainContainer, plainContainer } from '../support/plain-container.ts';

const MIB = 2 ** 20;
const FOREVER = ['sleep', '2147483647'];
const SHOWN = { conf: { views: true } };
let lab: Lab;
let a: LabNode;
let podman: Podman;
const plain: PlainContainer[] = [];

async function started(tenant: string, name: string, options: object = SHOWN): Promise<PlainContainer> {
  const container = await plainContainer(lab, 'a', tenant, name, options);
  plain.push(container);
  return container;
}

/** What a program in the container finds out: in KiB, and by count. */
interface Seen {
  readonly memory: number;
  readonly cpus: number;
}

function figures(text: string): Seen {
  return {
    memory: Number(/^MemTotal: +(\d+) kB$/m.exec(text)?.[1]),
    cpus: text.split('\n').filter((line) => line.startsWith('processor')).length,
  };
}

const LOOK = ['cat', '/proc/meminfo', '/proc/cpuinfo'] as const;
const seenIn = async (container: PlainContainer): Promise<Seen> => figures(await container.exec(LOOK));
const HOST = figures(
  LOOK.slice(1)
    .map((file) => readFileSync(file, 'utf8'))
    .join(''),
);

/** How many of its files are shown by lxcfs. */
const shownAt = (pid: number): number =>
  mountsOf(pid).filter(({ source, point }) => source === 'sluice-views-a' && VIEW_FILES.includes(point))
    .length;
const isShownAt = (pid: number): boolean => shownAt(pid) === VIEW_FILES.length;
const isShown = (container: PlainContainer): boolean => isShownAt(container.pid);

const lxcfs = async (): Promise<number> => (await askNetd<{ pid: number }>(a, 'GET', '/v1/views')).pid;

beforeAll(async () => {
  if (process.getuid?.() !== 0) throw new Error('this test makes network namespaces: run it as root');
  lab = await createLab({ prefix: 'views', nodes: ['a'], beforeRemoval: removeContainers });
  a = lab.node('a');
  await lab.start({ views: { lxcfs: 'on' } });
  for (const tenant of ['blue', 'red']) await lab.tenant(tenant);
  podman = podmanOn(a, ['blue'], path.dirname(thisCheckout().plugin));
  network(a, 'shown', { tenant: 'blue', views: true });
  await podman.load((await shellImage()).archive);
});
afterAll(async () => {
  for (const container of plain) await container.close();
  await lab?.close();
});

describe('a container of podman', () => {
  it('has the memory and the CPUs that podman gave it', async () => {
    const limits = ['--memory', '96m', '--cpus', '1'];
    await podman.start('shown', 'small', limits, FOREVER);
    const { State } = await inspect(podman, 'small');
    await until('podman’s container is shown its own figures', () => isShownAt(State.Pid));
    const seen = figures(await podman.exec('small', LOOK));
    expect(seen).toEqual({ memory: 96 * 1024, cpus: 1 });
    expect(Number((await podman.exec('small', ['cat', '/proc/uptime'])).split('.')[0])).toBeLessThan(60);
    expect((await podman.exec('small', ['cat', '/sys/devices/system/cpu/online'])).trim()).toMatch(/^\d$/);
  });

  it('can be given the files by podman itself, from its first instruction on', async () => {
    const files = ['meminfo', 'cpuinfo'].flatMap((name) => [
      '--volume',
      `${a.runDir}/lxcfs/proc/${name}:/proc/${name}:ro`,
    ]);
    const run = [
      'run',
      '--rm',
      '--network',
      'blue',
      '--memory',
      '64m',
      '--cpus',
      '1',
      ...files,
      IMAGE,
      ...LOOK,
    ];
    expect(figures(await podman.call(run))).toEqual({ memory: 64 * 1024, cpus: 1 });
  });
});

describe('containers of namespaces and control groups alone', () => {
  let one: PlainContainer;
  let other: PlainContainer;
  let silent: PlainContainer;

  beforeAll(async () => {
    one = await started('blue', 'one');
    other = await started('red', 'other');
    silent = await started('blue', 'silent', {});
    await one.limit({ memory: 200 * MIB, cpu: 1 });
    await other.limit({ memory: 300 * MIB, cpu: 2 });
    await until('both are shown their own figures', () => isShown(one) && isShown(other));
  });

  it('see their own limits each, at once after they have changed', async () => {
    expect(await seenIn(one)).toEqual({ memory: 200 * 1024, cpus: 1 });
    expect(await seenIn(other)).toEqual({ memory: 300 * 1024, cpus: Math.min(2, HOST.cpus) });
    await one.limit({ memory: 260 * MIB, cpu: null });
    expect(await seenIn(one)).toEqual({ memory: 260 * 1024, cpus: HOST.cpus });
    await one.limit({ memory: 260 * MIB, 'cpu.set': '0' });
    expect(await seenIn(one)).toEqual({ memory: 260 * 1024, cpus: 1 });
    expect((await one.exec(['nproc'])).trim()).toBe('1');
    await one.limit({ memory: 200 * MIB, cpu: 1 });
  });

  it('never see figures of another, however often they look at the same time', async () => {
    const script = 'for i in 1 2 3 4 5 6 7 8 9 10; do cat /proc/meminfo; done';
    const looks = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? one : other).exec(['sh', '-c', script])),
    );
    const totals = looks.map((text) => [...new Set(text.match(/MemTotal: +\d+/g))].join());
    const expected = looks.map((_, index) => `MemTotal:         ${(index % 2 === 0 ? 200 : 300) * 1024}`);
    expect(totals).toEqual(expected);
  });

  it('see the machine where they have not asked, and where nobody is a container', async () => {
    expect(await seenIn(silent)).toEqual(HOST);
    expect(
      figures(
        LOOK.slice(1)
          .map((file) => readFileSync(file, 'utf8'))
          .join(''),
      ),
    ).toEqual(HOST);
    expect(
      mountsOf('self')
        .filter(({ source }) => source === 'sluice-views-a')
        .map(({ point }) => point),
    ).toEqual([`${a.runDir}/lxcfs`]);
  });

  /** Both, without an error. */
  const isBack = async (): Promise<boolean> => {
    try {
      return (await seenIn(one)).memory === 200 * 1024 && (await seenIn(other)).memory === 300 * 1024;
    } catch {
      return false;
    }
  };

  it('see them again soon after lxcfs was killed', async () => {
    const before = await lxcfs();
    const small = await inspect(podman, 'small');
    process.kill(before, 'SIGKILL');
    await expect(one.exec(LOOK)).rejects.toThrow(/not connected/);
    await until('both see their own figures again', isBack);
    expect(await lxcfs()).not.toBe(before);
    expect(isShownAt(small.State.Pid)).toBe(true);
    expect(figures(await podman.exec('small', LOOK)).memory).toBe(96 * 1024);
  });

  it('see them again after lxcfs hung, and netd never did', async () => {
    const before = await lxcfs();
    process.kill(before, 'SIGSTOP');
    const waits: number[] = [];
    await until('another serves', async () => {
      const begun = performance.now();
      const now = await lxcfs();
      waits.push(performance.now() - begun);
      return now !== before && now !== null;
    });
    expect(Math.max(...waits)).toBeLessThan(3_000);
    await until('both see their own figures again', isBack);
  });

  it('go on seeing them while netd is away and after it is back, from the same lxcfs', async () => {
    const before = await lxcfs();
    await a.stop();
    expect(await seenIn(one)).toEqual({ memory: 200 * 1024, cpus: 1 });
    await a.start({ listen: `${a.address}:7070`, config: { views: { lxcfs: 'on' } } });
    await until('netd has found lxcfs', async () => (await lxcfs()) === before);
    expect(await seenIn(one)).toEqual({ memory: 200 * 1024, cpus: 1 });
  });

  it('see the machine again when they are no longer attached', async () => {
    await until('netd knows what it has mounted', async () => {
      const { containers } = await askNetd<{ containers: { served: boolean }[] }>(a, 'GET', '/v1/views');
      return containers.length > 0 && containers.every(({ served }) => served);
    });
    const { netns, id } = other.attached;
    expect((await a.cni('DEL', { containerId: id, netns })).code).toBe(0);
    await until('the views are gone', () => shownAt(other.pid) === 0);
    expect(await seenIn(other)).toEqual(HOST);
  });
});

describe('lxcfs itself', () => {
  it('has four capabilities, no network, and nothing that it could write to', async () => {
    const pid = await lxcfs();
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    // DAC_READ_SEARCH, SYS_CHROOT, SYS_PTRACE, SYS_ADMIN (linux/capability.h)
    const rights = (2 ** 2 + 2 ** 18 + 2 ** 19 + 2 ** 21).toString(16).padStart(16, '0');
    for (const set of ['CapEff', 'CapPrm', 'CapBnd']) expect(status).toContain(`${set}:\t${rights}\n`);
    expect(status).toContain('NoNewPrivs:\t1\n');
    expect(await runOk(['nsenter', '--target', String(pid), '--net', '--', 'ip', '-o', 'link'])).toMatch(
      /^1: lo: <LOOPBACK> [^\n]*\n$/,
    );
    await expect(podman.exec('small', ['sh', '-c', 'echo 1 >/proc/meminfo'])).rejects.toThrow(/Read-only/);
  });
});

it('leaves no lxcfs and no mount behind when the node goes', async () => {
  const inContainer = await inspect(podman, 'small');
  const pid = await lxcfs();
  await a.down();
  expect(identify(pid)).toBeUndefined();
  expect(mountsOf('self').some(({ source }) => source === 'sluice-views-a')).toBe(false);
  expect(mountsOf(inContainer.State.Pid).some(({ source }) => source === 'sluice-views-a')).toBe(false);
});
