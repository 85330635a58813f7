/** The driver of cgroup v2 over a tree of plain files; on a real kernel it is proved by test/cgroup/. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findHierarchies } from '../../linux/cgroup-hierarchies.ts';
import type { ContainerId } from '../../model/names.ts';
import type { CgroupHints, CgroupKeeper, ContainerCgroup } from '../contract.ts';
import { blockFilesV2, diskLimitsIn, quotaIn } from './files-v2.ts';
import { openJournal } from './journal.ts';
import { openCgroupKeeper } from './keeper.ts';

const ID = 'c'.repeat(64) as ContainerId;
const GROUP = `/machine.slice/libpod-${ID}.scope`;
const MIB = 2 ** 20;
const KEEP = { mayKill: false } as const;
/** Beyond any that the kernel gives, so that nothing real is meant. */
const PID = 99_999_999;

let root: string;
const at = (file: string): string => `${root}/sys/fs/cgroup${GROUP}/${file}`;
const held = (file: string): string => readFileSync(at(file), 'utf8').trim();

function put(files: Readonly<Record<string, string>>): void {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(`${root}${file}`), { recursive: true });
    writeFileSync(`${root}${file}`, text);
  }
}

/** As the kernel shows a group in which nothing is limited. */
const FRESH = {
  ...{ 'cgroup.controllers': 'cpuset cpu io memory pids\n', 'cgroup.procs': `${PID}\n` },
  ...{ 'cpu.max': 'max 100000\n', 'cpu.max.burst': '0\n', 'cpu.weight': '100\n' },
  ...{ 'cpuset.cpus': '\n', 'memory.max': 'max\n', 'memory.high': 'max\n', 'memory.current': '1048576\n' },
  ...{
    'pids.max': 'max\n',
    'pids.current': '3\n',
    'pids.events': 'max 2\n',
    'io.max': '',
    'io.weight': 'default 100\n',
  },
  'cpu.stat': 'usage_usec 2500000\nuser_usec 2000000\nnr_periods 9\nnr_throttled 4\nthrottled_usec 1500000\n',
  'memory.events': 'low 0\nhigh 0\nmax 0\noom 1\noom_kill 1\n',
};

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/sluice-v2-`);
  put({
    '/proc/self/mountinfo': '31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n',
    '/proc/self/cgroup': '0::/system.slice/sluice.service\n',
    [`/proc/${PID}/cgroup`]: `0::${GROUP}\n`,
    [`/proc/${PID}/comm`]: 'sleep\n',
    [`/proc/${PID}/ns/net`]: '',
    '/sys/fs/cgroup/cgroup.controllers': 'cpuset cpu io memory hugetlb pids rdma misc\n',
    '/sys/fs/cgroup/machine.slice/cpuset.cpus.effective': '0-7\n',
  });
  put(
    Object.fromEntries(Object.entries(FRESH).map(([file, text]) => [`/sys/fs/cgroup${GROUP}/${file}`, text])),
  );
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const hints = (): CgroupHints => ({
  ...{ containerId: ID, cgroupPath: null, netnsInode: statSync(`${root}/proc/${PID}/ns/net`).ino },
});

async function open(): Promise<[CgroupKeeper, ContainerCgroup]> {
  const keeper = openCgroupKeeper({ root });
  const group = await keeper.find(hints());
  if (group === undefined) throw new Error('not found');
  return [keeper, group];
}

describe('cgroup v2', () => {
  it('has one path for all controllers', async () => {
    const [keeper, group] = await open();
    expect(keeper.version).toBe(2);
    expect(group).toEqual({
      ...{ version: 2, pid: PID },
      paths: new Map(['cpu', 'cpuset', 'memory', 'pids', 'io'].map((controller) => [controller, GROUP])),
    });
  });

  it('reads a fresh group as unlimited', async () => {
    const [keeper, group] = await open();
    const values = Object.values(await keeper.read(group));
    expect(values).toEqual(values.map(() => null));
    expect(values).toHaveLength(12);
  });

  it('writes each field in the kernel’s words, reads it back, and takes it away again', async () => {
    const [keeper, group] = await open();
    const wanted = {
      ...{ cpu: 1.5, 'cpu.burst': 30, 'cpu.weight': 250, 'cpu.set': '0-3,6', pids: 99 },
      ...{ memory: 64 * MIB, 'memory.high': 48 * MIB },
    };
    expect(await keeper.apply(group, wanted, KEEP)).toEqual([]);
    expect(
      Object.fromEntries(
        ['cpu.max', 'cpu.max.burst', 'cpu.weight', 'cpuset.cpus'].map((file) => [file, held(file)]),
      ),
    ).toEqual({
      ...{
        'cpu.max': '150000 100000',
        'cpu.max.burst': '30000',
        'cpu.weight': '250',
        'cpuset.cpus': '0-3,6',
      },
    });
    expect([held('memory.max'), held('memory.high'), held('pids.max')]).toEqual([
      '67108864',
      '50331648',
      '99',
    ]);
    expect(await keeper.read(group)).toMatchObject(wanted);
    const free = Object.fromEntries(Object.keys(wanted).map((field) => [field, null]));
    expect(await keeper.apply(group, free, KEEP)).toEqual([]);
    for (const file of [
      'cpu.max',
      'cpu.max.burst',
      'cpu.weight',
      'memory.max',
      'memory.high',
      'pids.max',
    ] as const) {
      expect(held(file)).toBe(FRESH[file].trim());
    }
    // The kernel takes no empty list back.
    expect(held('cpuset.cpus')).toBe('0-7');
  });

  it('leaves alone what is not named', async () => {
    const [keeper, group] = await open();
    await keeper.apply(group, { pids: 5 }, KEEP);
    put({ [`/sys/fs/cgroup${GROUP}/cpu.max`]: '12345 67890\n' });
    await keeper.apply(group, { 'cpu.weight': 300 }, KEEP);
    expect([held('cpu.max'), held('pids.max')]).toEqual(['12345 67890', '5']);
  });

  it('says which controller is not handed on, and what to do', async () => {
    const [keeper, group] = await open();
    put({ [`/sys/fs/cgroup${GROUP}/cgroup.controllers`]: 'cpu pids\n' });
    const shortfalls = await keeper.apply(group, { memory: MIB, pids: 5, 'cpu.set': null }, KEEP);
    expect(shortfalls).toEqual([
      {
        ...{ field: 'memory', wanted: MIB },
        why: expect.stringMatching(/echo \+memory >.*\/machine\.slice\/cgroup\.subtree_control/),
      },
    ]);
    expect(held('pids.max')).toBe('5');
  });

  it('puts everything back when a file is refused', async () => {
    const [keeper, group] = await open();
    put({ [`/sys/fs/cgroup${GROUP}/cpuset.cpus`]: '0-3\n' });
    // What is no plain file is not written to, though it can be read.
    rmSync(at('memory.max'));
    put({ '/elsewhere': 'max\n' });
    symlinkSync(`${root}/elsewhere`, at('memory.max'));
    const before = Object.keys(FRESH).map((file) => readFileSync(at(file), 'utf8').trim());
    await expect(
      keeper.apply(group, { cpu: 2, 'cpu.set': '1', pids: 4, memory: MIB * 8 }, KEEP),
    ).rejects.toMatchObject({
      ...{ code: 'kernel_refused', message: expect.stringContaining('memory.max') },
    });
    expect(Object.keys(FRESH).map((file) => readFileSync(at(file), 'utf8').trim())).toEqual(before);
  });

  it('leaves memory where it is used, unless it may kill', async () => {
    const [keeper, group] = await open();
    put({ [`/sys/fs/cgroup${GROUP}/memory.current`]: String(100 * MIB) });
    put({ [`/sys/fs/cgroup${GROUP}/memory.reclaim`]: '' });
    const short = openCgroupKeeper({ root, reclaimMs: 400 });
    const [shortfall] = await short.apply(group, { memory: 10 * MIB }, KEEP);
    expect(shortfall).toMatchObject({ field: 'memory', wanted: 10 * MIB, kernel: 106.25 * MIB });
    expect(held('memory.max')).toBe(String(106.25 * MIB));
    expect(await keeper.apply(group, { memory: 10 * MIB }, { mayKill: true })).toEqual([]);
    expect(held('memory.max')).toBe(String(10 * MIB));
  });

  it('counts', async () => {
    const [keeper, group] = await open();
    expect(await keeper.statistics(group)).toEqual({
      ...{ cpuSeconds: 2.5, throttledSeconds: 1.5, throttledPeriods: 4, memoryBytes: MIB, oomKills: 1 },
      ...{ pids: 3, pidsRefused: 2, blockWaits: null },
    });
  });

  it('is not looked for through links, in our own group, or above it', async () => {
    const keeper = openCgroupKeeper({ root });
    put({ '/proc/self/cgroup': `0::${GROUP}/sluice\n` });
    expect(await keeper.find(hints())).toBeUndefined();
    put({ '/proc/self/cgroup': '0::/system.slice\n' });
    rmSync(`${root}/sys/fs/cgroup/machine.slice`, { recursive: true });
    put({ [`/other/libpod-${ID}.scope/cgroup.procs`]: '' });
    symlinkSync(`${root}/other`, `${root}/sys/fs/cgroup/machine.slice`);
    expect(await keeper.find(hints())).toBeUndefined();
  });
});

describe('words of v2', () => {
  it('for quotas', () => {
    expect(quotaIn('max 100000\n')).toEqual({ quota: null, period: 100_000 });
    expect(quotaIn('25000 50000\n')).toEqual({ quota: 25_000, period: 50_000 });
  });

  it('for disks', () => {
    const limits = diskLimitsIn(
      '8:0 rbps=1048576 wbps=max riops=max wiops=120\n259:3 rbps=max wbps=1 riops=2 wiops=max\n',
    );
    expect(limits.get('8:0')).toEqual({
      ...{ 'block.read': 1_048_576, 'block.write': null, 'block.readOps': null, 'block.writeOps': 120 },
    });
    expect(limits.get('259:3')?.['block.write']).toBe(1);
    expect(limits.has('8:1')).toBe(false);
  });

  it('sets all four of a disk at once', async () => {
    const directory = `${root}/sys/fs/cgroup${GROUP}`;
    const now = { 'block.read': null, 'block.write': null, 'block.readOps': null, 'block.writeOps': null };
    const next = { ...now, 'block.read': 5, 'block.writeOps': 7 };
    const journal = openJournal(100);
    await blockFilesV2.set(journal, directory, '8:0', now, next);
    expect(held('io.max')).toBe('8:0 rbps=5 wbps=max riops=max wiops=7');
    expect(blockFilesV2.disks(directory)).toEqual(new Map([['8:0', next]]));
    expect(await journal.putBack()).toEqual([]);
    expect(held('io.max')).toBe('8:0 rbps=max wbps=max riops=max wiops=max');
  });
});

describe('which version has a controller', () => {
  const v1 = (name: string): string => `40 31 0:30 / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}\n`;

  it('is asked for each by itself', () => {
    put({
      '/proc/self/mountinfo': `${v1('memory')}${v1('cpu,cpuacct')}41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n`,
      '/sys/fs/cgroup/cgroup.controllers': 'hugetlb pids\n',
    });
    const { byController, cpuacct } = findHierarchies(root);
    const versions = [...byController].map(([controller, { version }]) => [controller, version]);
    expect(versions).toEqual([
      ['cpu', 1],
      ['memory', 1],
      ['pids', 2],
    ]);
    expect(cpuacct).toBe(byController.get('cpu'));
    expect(openCgroupKeeper({ root }).version).toBe(1);
  });
});
