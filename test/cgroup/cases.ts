/** What is proved of limits on a real kernel, one case at a time. Each gives the figures it has seen, or throws. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BareContainer } from '../../bench/limits/container.ts';
import { coresUsed, diskTraffic, openLoopDisk } from '../../bench/limits/measure.ts';
import { type Controller, findHierarchies, groupsOfProcess } from '../../linux/cgroup-hierarchies.ts';
import { runOk } from '../../linux/process.ts';
import type { SluiceError } from '../../model/errors.ts';
import { CGROUP_FIELDS, type LimitValue } from '../../model/limits.ts';
import type { ContainerId } from '../../model/names.ts';
import { openCgroupKeeper } from '../../qos/cgroup/keeper.ts';
import { isSameLimit } from '../../qos/cgroup/values.ts';
import type { CgroupKeeper, CgroupLimits, ContainerCgroup } from '../../qos/contract.ts';

export interface World {
  readonly keeper: CgroupKeeper;
  /** It is removed whatever happens. */
  container(around?: readonly string[]): BareContainer;
}

type Figures = Readonly<Record<string, unknown>>;
type Case = (world: World) => Promise<Figures>;

const MIB = 2 ** 20;
const KEEP = { mayKill: false } as const;
/** On processors that others keep busy, such as a guest's: a container may get less than its limit, but not more. */
const SLOW = process.argv.includes('--slow');
/** What a test asserts of accuracy; the goal of the benchmarks is half of it. */
const TOLERANCE = 0.1;
const LEAST = SLOW ? 0.5 : 1 - TOLERANCE;
const POD = 'pod0f1e2d3c-1111-2222-3333-444455556666';

/** A container with one process that does nothing, and its group. */
async function quiet(world: World, around?: readonly string[]): Promise<[BareContainer, ContainerCgroup]> {
  const container = world.container(around);
  const load = await container.start(['named', 'quiet']);
  load.go();
  return [container, await found(world.keeper, container)];
}

async function found(keeper: CgroupKeeper, container: BareContainer): Promise<ContainerCgroup> {
  const deadline = performance.now() + 1_000;
  for (;;) {
    const group = await keeper.find(container.hints());
    if (group !== undefined) return group;
    assert.ok(performance.now() < deadline, 'its group is not found');
    await sleep(5); // all look at processes a moment ago
  }
}

async function until(what: string, ask: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!ask()) {
    assert.ok(performance.now() < deadline, `not within 5 s: ${what}`);
    await sleep(10);
  }
}

function near(measured: number, target: number, what: string): number {
  const ratio = measured / target;
  assert.ok(
    ratio >= LEAST && ratio <= 1 + TOLERANCE,
    `${what}: ${measured} instead of ${target}, ${ratio.toFixed(3)}`,
  );
  return Number(ratio.toFixed(4));
}

const versionOf = (controller: Controller): 1 | 2 =>
  findHierarchies().byController.get(controller)?.version ?? 1;

/** All files of limits, as they are. */
function rawFiles(container: BareContainer): Readonly<Record<string, string>> {
  const files = {
    cpu: [
      'cpu.cfs_quota_us',
      'cpu.cfs_period_us',
      'cpu.cfs_burst_us',
      'cpu.shares',
      'cpu.max',
      'cpu.max.burst',
      'cpu.weight',
    ],
    // v2 takes no empty list again; all CPUs are the same.
    cpuset: [versionOf('cpuset') === 1 ? 'cpuset.cpus' : 'cpuset.cpus.effective'],
    memory: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.max', 'memory.high'],
    pids: ['pids.max'],
    io: [
      ...['read_bps', 'write_bps', 'read_iops', 'write_iops'].map((one) => `blkio.throttle.${one}_device`),
      ...['blkio.bfq.weight', 'io.max', 'io.weight', 'io.bfq.weight'],
    ],
  } as const;
  const all = Object.entries(files).flatMap(([controller, names]) =>
    names.map((name) => `${container.directory(controller as Controller)}/${name}`),
  );
  return Object.fromEntries(
    all.filter((file) => existsSync(file)).map((file) => [file, readFileSync(file, 'utf8')]),
  );
}

const EVERYTHING = {
  ...{
    cpu: 0.5,
    'cpu.burst': 20,
    'cpu.weight': 250,
    'cpu.set': '0',
    memory: 64 * MIB,
    'memory.high': 48 * MIB,
  },
  ...{
    pids: 50,
    'block.read': 1_000_000,
    'block.write': 2_000_000,
    'block.readOps': 100,
    'block.writeOps': 200,
  },
  'block.weight': 200,
} as const satisfies CgroupLimits;
const NOTHING = Object.fromEntries(CGROUP_FIELDS.map((field) => [field, null])) as CgroupLimits;

const HALF: CgroupLimits = { cpu: 0.5, pids: 40 };

async function setEveryField(world: World): Promise<Figures> {
  const { keeper } = world;
  const [container, group] = await quiet(world);
  const before = rawFiles(container);
  const initially = await keeper.read(group);
  const shortfalls = await keeper.apply(group, EVERYTHING, KEEP);
  const held = await keeper.read(group);
  const lacking = new Set<string>(
    shortfalls.filter(({ kernel }) => kernel === undefined).map(({ field }) => field),
  );
  for (const field of CGROUP_FIELDS.filter((one) => !lacking.has(one))) {
    assert.ok(isSameLimit(field, EVERYTHING[field], held[field]), `${field} is ${held[field]}`);
  }
  for (const field of lacking) assert.equal(held[field as 'cpu'], undefined, field);
  // A kernel can lack these; nothing else.
  for (const field of lacking) assert.match(field, /^(memory\.high|block\.weight|cpu\.burst)$/);
  assert.deepEqual(await keeper.apply(group, NOTHING, KEEP), []);
  assert.deepEqual(await keeper.read(group), initially);
  assert.deepEqual(rawFiles(container), before);
  return { shortfalls: shortfalls.map(({ field, why }) => `${field}: ${why}`), held };
}

const OTHERS = {
  ...{
    cpu: 0.75,
    'cpu.burst': 10,
    'cpu.weight': 50,
    'cpu.set': '1',
    memory: 80 * MIB,
    'memory.high': 40 * MIB,
  },
  ...{
    pids: 60,
    'block.read': 3_000_000,
    'block.write': 4_000_000,
    'block.readOps': 300,
    'block.writeOps': 400,
  },
  'block.weight': 300,
} as const satisfies CgroupLimits;

async function leaveOthersAlone(world: World): Promise<Figures> {
  const { keeper } = world;
  const [, group] = await quiet(world);
  await keeper.apply(group, EVERYTHING, KEEP);
  let held = await keeper.read(group);
  const fields = CGROUP_FIELDS.filter((field) => held[field] !== undefined);
  for (const field of fields) {
    await keeper.apply(group, { [field]: OTHERS[field] }, KEEP);
    const now = await keeper.read(group);
    assert.deepEqual({ ...now, [field]: null }, { ...held, [field]: null }, `with ${field} others change`);
    assert.ok(isSameLimit(field, OTHERS[field], now[field]), `${field} is ${now[field]}`);
    held = now;
  }
  return { fields: fields.length };
}

async function restoreARuntimesValues(world: World): Promise<Figures> {
  const { keeper } = world;
  const [container, group] = await quiet(world);
  const [cpu, memory] = [container.directory('cpu'), container.directory('memory')];
  const v1 = versionOf('cpu') === 1;
  // As runc writes them for a small container of Kubernetes.
  if (v1) {
    writeFileSync(`${cpu}/cpu.cfs_period_us`, '50000');
    writeFileSync(`${cpu}/cpu.cfs_quota_us`, '33333');
    writeFileSync(`${cpu}/cpu.shares`, '2');
  } else writeFileSync(`${cpu}/cpu.max`, '33333 50000');
  if (versionOf('memory') === 1) {
    writeFileSync(`${memory}/memory.limit_in_bytes`, String(64 * MIB));
    if (existsSync(`${memory}/memory.memsw.limit_in_bytes`)) {
      writeFileSync(`${memory}/memory.memsw.limit_in_bytes`, String(96 * MIB));
    }
  } else writeFileSync(`${memory}/memory.max`, String(64 * MIB));
  const before = rawFiles(container);
  const base = await keeper.read(group);
  const seen: unknown[] = [];
  for (const memoryLimit of [128 * MIB, 32 * MIB, null]) {
    await keeper.apply(group, { cpu: 0.05, 'cpu.weight': 300, memory: memoryLimit }, KEEP);
    seen.push((await keeper.read(group)).memory);
    assert.deepEqual(await keeper.apply(group, base, KEEP), []);
    assert.deepEqual(rawFiles(container), before);
  }
  assert.deepEqual(seen, [128 * MIB, 32 * MIB, null]);
  return { base };
}

async function putAllBackOnRefusal(world: World): Promise<Figures> {
  const { keeper } = world;
  const [container, group] = await quiet(world);
  const file = `${container.directory('memory')}/${versionOf('memory') === 1 ? 'memory.limit_in_bytes' : 'memory.max'}`;
  await keeper.apply(group, { ...EVERYTHING, 'memory.high': null }, KEEP);
  const before = rawFiles(container);
  // A file that the kernel does not let be written; memory comes last, so everything else has been set by then.
  await runOk(['mount', '--bind', file, file]);
  await runOk(['mount', '-o', 'remount,ro,bind', file]);
  const wanted = { ...NOTHING, memory: 512 * MIB, 'cpu.set': '1', pids: 7, cpu: 0.25, 'block.read': 5_000 };
  const error = await keeper.apply(group, wanted, KEEP).then(
    () => assert.fail('it was not refused'),
    (thrown: unknown) => thrown as SluiceError,
  );
  await runOk(['umount', file]);
  assert.equal(error.code, 'kernel_refused');
  assert.ok(error.message.includes(file), error.message);
  assert.deepEqual(rawFiles(container), before);
  return { error: error.message };
}

async function refuseImpossibleSets(world: World): Promise<Figures> {
  const { keeper } = world;
  const [container, group] = await quiet(world);
  await keeper.apply(group, HALF, KEEP);
  const before = rawFiles(container);
  const wrong: readonly [CgroupLimits, string, RegExp][] = [
    [{ cpu: 1, 'cpu.set': '800-900' }, 'kernel_refused', /none of CPUs 800-900/],
    [{ cpu: 1, 'cpu.set': 'first' }, 'invalid_request', /no list of CPUs/],
    [{ cpu: -1 }, 'invalid_request', /cpu: -1/],
    [{ pids: 1, memory: Number.NaN }, 'invalid_request', /memory/],
    [{ pids: 1, 'block.read': 0 }, 'invalid_request', /block.read/],
    [{ pids: 1, 'block.everything': 1 } as CgroupLimits, 'invalid_request', /block.everything/],
  ];
  for (const [wanted, code, message] of wrong) {
    await assert.rejects(keeper.apply(group, wanted, KEEP), { code, message });
    assert.deepEqual(rawFiles(container), before);
  }
  const [only] = await keeper.apply(group, { 'cpu.set': '0,800' }, KEEP);
  assert.deepEqual([only?.field, only?.kernel], ['cpu.set', '0']);
  return { refused: wrong.length };
}

async function reportWhatTheKernelCannotHold(world: World): Promise<Figures> {
  const { keeper } = world;
  const [, group] = await quiet(world);
  const wanted = { pids: 5_000_000, 'cpu.burst': 900, cpu: 0.5 } as const;
  const shortfalls = await keeper.apply(group, wanted, KEEP);
  const byField = Object.fromEntries(shortfalls.map(({ field, kernel }) => [field, kernel]));
  assert.equal(byField['pids'], 4_194_304);
  if (byField['cpu.burst'] !== undefined) assert.equal(byField['cpu.burst'], 50);
  const held = await keeper.read(group);
  assert.equal(held.pids, 4_194_304);
  assert.equal(held.cpu, 0.5);
  return { shortfalls: byField };
}

async function findOnlyTheContainers(world: World): Promise<Figures> {
  const { keeper } = world;
  const container = world.container();
  const load = await container.start(['named', 'runc:[2:INIT]']);
  load.go();
  await until(
    'it is called like runc',
    () => readFileSync(`/proc/${load.pid}/comm`, 'utf8') === 'runc:[2:INIT]\n',
  );
  assert.equal(await keeper.find(container.hints()), undefined, 'still being made');
  load.go();
  await load.untilHeld();
  const began = performance.now();
  const group = await found(keeper, container);
  const findMs = performance.now() - began;
  assert.equal(group.pid, load.pid);
  for (const [, path] of group.paths) assert.ok(path.endsWith(`/${container.id}`), path);
  const hints = container.hints();
  const ownGroup = groupsOfProcess('self')?.([...findHierarchies().byController.values()][0]!) ?? '/';
  const strangers: readonly Partial<typeof hints>[] = [
    { containerId: 'f'.repeat(64) as ContainerId },
    // A part of the name is not the name.
    { containerId: container.id.slice(0, 12) as ContainerId },
    { containerId: 'cgproof' as ContainerId },
    { netnsInode: 1 },
  ];
  for (const stranger of strangers) assert.equal(await keeper.find({ ...hints, ...stranger }), undefined);
  // A path that leads elsewhere does not lead away from the container.
  for (const cgroupPath of ['/', '/..', `/${POD}`, ownGroup, 'system.slice', `/../${POD}`, ':::']) {
    assert.deepEqual((await keeper.find({ ...hints, cgroupPath }))?.paths, group.paths, cgroupPath);
  }
  return { findMs: Number(findMs.toFixed(2)), paths: [...group.paths.values()][0] };
}

async function believeAFakeRuntimeNotForLong(world: World): Promise<Figures> {
  const keeper = openCgroupKeeper({ runtimeMs: 500 });
  const container = world.container();
  const load = await container.start(['named', 'runc:[2:INIT]']);
  load.go();
  await until(
    'it is called like runc',
    () => readFileSync(`/proc/${load.pid}/comm`, 'utf8') === 'runc:[2:INIT]\n',
  );
  const began = performance.now();
  while ((await keeper.find(container.hints())) === undefined) {
    assert.ok(performance.now() - began < 2_000, 'whoever calls itself runc is never held');
    await sleep(10);
  }
  assert.ok(performance.now() - began >= 400, 'the runtime is not waited for');
  return { heldAfterMs: Math.round(performance.now() - began) };
}

async function holdAPodTogether(world: World): Promise<Figures> {
  const { keeper } = world;
  const [sandbox, group] = await quiet(world, [POD]);
  for (const [, path] of group.paths) assert.ok(path.endsWith(`/${POD}`), path);
  const path = [...group.paths.values()][0] ?? '';
  assert.deepEqual((await keeper.find(sandbox.hints(path)))?.paths, group.paths);
  const container = world.container([POD]);
  const load = await container.start(['cpu', 2, 2]);
  await keeper.apply(group, { cpu: 0.25, 'cpu.set': '0-1' }, KEEP);
  load.go();
  const { cpu, wall } = JSON.parse(await load.line()) as { cpu: number; wall: number };
  const ratio = near(cpu / wall, 0.25, 'cores of another container of the pod');
  assert.deepEqual(await keeper.apply(group, { cpu: null, 'cpu.set': null }, KEEP), []);
  const before = await keeper.read(group);
  const ops = await holdRequestsOf(keeper, group, container);
  assert.deepEqual(await keeper.read(group), before);
  return { path, ratio, ops };
}

async function lowerMemoryUnderCache(world: World): Promise<Figures> {
  const { keeper } = world;
  const container = world.container();
  const file = `/var/tmp/cgproof-cache-${process.pid}`;
  try {
    writeFileSync(file, '');
    truncateSync(file, 256 * MIB);
    const load = await container.start(['cache', file]);
    load.go();
    await load.untilHeld();
    const group = await found(keeper, container);
    const before = (await keeper.statistics(group)).memoryBytes;
    assert.ok(before > 200 * MIB, `${before} bytes in use`);
    const began = performance.now();
    const shortfalls = await keeper.apply(group, { memory: 32 * MIB }, KEEP);
    const ms = Math.round(performance.now() - began);
    assert.deepEqual(shortfalls, []);
    assert.equal((await keeper.read(group)).memory, 32 * MIB);
    const { memoryBytes, oomKills } = await keeper.statistics(group);
    assert.ok(memoryBytes <= 32 * MIB && load.isAlive() && oomKills === 0);
    return { beforeMiB: Math.round(before / MIB), afterMiB: Math.round(memoryBytes / MIB), ms };
  } finally {
    rmSync(file, { force: true });
  }
}

async function neverKillUnasked(world: World): Promise<Figures> {
  const { keeper } = world;
  const container = world.container();
  const load = await container.start(['memory', 96]);
  load.go();
  await load.untilHeld();
  const group = await found(keeper, container);
  const wanted = { memory: 32 * MIB };
  const loop = eventLoopDelay();
  const [shortfall, ...others] = await keeper.apply(group, wanted, KEEP);
  const blockedMs = loop.stop();
  assert.deepEqual([shortfall?.field, shortfall?.wanted, others], ['memory', wanted.memory, []]);
  assert.match(shortfall?.why ?? '', /in use/);
  const { memory } = await keeper.read(group);
  assert.equal(memory, shortfall?.kernel);
  assert.ok(Number(memory) >= 96 * MIB && Number(memory) < 128 * MIB, `${memory}`);
  assert.ok(load.isAlive());
  assert.equal((await keeper.statistics(group)).oomKills, 0);
  assert.ok(blockedMs < 500, `the event loop stood still for ${blockedMs} ms`);
  assert.deepEqual(await keeper.apply(group, wanted, { mayKill: true }), []);
  assert.equal((await keeper.read(group)).memory, wanted.memory);
  await load.ended;
  return { keptMiB: Math.round(Number(memory) / MIB), blockedMs, why: shortfall?.why };
}

/** Of a container whose group is not the one that the limit is set for, but lies in it. */
async function holdRequestsOf(
  keeper: CgroupKeeper,
  group: ContainerCgroup,
  container: BareContainer,
): Promise<number> {
  const disk = await openLoopDisk(`/var/tmp/cgproof-pod-${process.pid}`);
  try {
    const idle = await container.start(['named', 'idle']);
    idle.go();
    const limit = { 'block.readOps': 150 };
    assert.deepEqual(await keeper.apply(group, limit, KEEP), []);
    assert.equal((await keeper.read(group))['block.readOps'], 150);
    const how = { file: disk.file, direction: 'read', block: 4_096, threads: 2, seconds: 2 } as const;
    const { requests, seconds } = await diskTraffic(container, how);
    const ratio = near(requests / seconds, 150, 'requests of another container of the pod');
    assert.deepEqual(await keeper.apply(group, { 'block.readOps': null }, KEEP), []);
    await container.stop();
    return ratio;
  } finally {
    await disk.close();
  }
}

/** How long the event loop could not turn, in ms. */
function eventLoopDelay(): { stop(): number } {
  let last = performance.now();
  let longest = 0;
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 1);
  return {
    stop() {
      look();
      clearInterval(timer);
      return Math.round(longest);
    },
  };
}

async function countWhatHappens(world: World): Promise<Figures> {
  const { keeper } = world;
  const [container, group] = await quiet(world);
  await keeper.apply(group, { cpu: 0.2, pids: 5, memory: 16 * MIB }, KEEP);
  const forks = await container.start(['forks', 20]);
  forks.go();
  const { made } = JSON.parse(await forks.line()) as { made: number };
  assert.equal(made, 3, 'five, less the two that make them');
  await container.start(['cpu', 1, 1]).then(async (load) => {
    load.go();
    await load.line();
  });
  const greedy = await container.start(['memory', 64]);
  greedy.go();
  await greedy.ended;
  await until('the kill is counted', () => !greedy.isAlive());
  const counted = await keeper.statistics(group);
  assert.ok(counted.cpuSeconds > 0.2 && counted.throttledPeriods > 5 && counted.throttledSeconds > 0.5);
  assert.equal(counted.oomKills, 1);
  assert.ok(counted.pidsRefused >= 1 && counted.pids === 2 && counted.memoryBytes > 0);
  return { ...counted };
}

async function holdCpu(world: World): Promise<Figures> {
  const { keeper } = world;
  const [container, group] = await quiet(world);
  const figures: Record<string, number> = {};
  for (const [cpu, threads] of [
    [0.1, 2],
    [0.5, 1],
    [1.5, 4],
  ] as const) {
    assert.deepEqual(await keeper.apply(group, { cpu }, KEEP), []);
    figures[cpu] = near(await coresUsed(container, threads, 2), cpu, `${cpu} cores`);
  }
  return figures;
}

async function holdDisk(world: World): Promise<Figures> {
  const { keeper } = world;
  const disk = await openLoopDisk(`/var/tmp/cgproof-disk-${process.pid}`);
  try {
    const [container, group] = await quiet(world);
    const figures: Record<string, LimitValue> = {};
    for (const [field, limit, direction, block] of [
      ['block.read', 8_000_000, 'read', 65_536],
      ['block.write', 8_000_000, 'write', 65_536],
      ['block.readOps', 200, 'read', 4_096],
      ['block.writeOps', 200, 'write', 4_096],
    ] as const) {
      assert.deepEqual(await keeper.apply(group, { [field]: limit }, KEEP), []);
      const report = await diskTraffic(container, {
        file: disk.file,
        direction,
        block,
        threads: 4,
        seconds: 2,
      });
      const done = field.endsWith('Ops') ? report.requests : report.bytes;
      figures[field] = near(done / report.seconds, limit, field);
      await keeper.apply(group, { [field]: null }, KEEP);
    }
    await container.stop();
    return figures;
  } finally {
    await disk.close();
  }
}

async function sayThatItIsGone(world: World): Promise<Figures> {
  const { keeper } = world;
  const [container, group] = await quiet(world);
  await container.remove();
  const gone = { code: 'not_found' };
  await assert.rejects(keeper.read(group), gone);
  await assert.rejects(keeper.apply(group, HALF, KEEP), gone);
  await assert.rejects(keeper.statistics(group), gone);
  return {};
}

async function beQuick(world: World): Promise<Figures> {
  const { keeper } = world;
  const groups: ContainerCgroup[] = [];
  for (let i = 0; i < 20; i += 1) groups.push((await quiet(world))[1]);
  const wanted = (pids: number): CgroupLimits => ({
    ...EVERYTHING,
    'memory.high': null,
    'block.weight': null,
    pids,
  });
  for (const group of groups) await keeper.apply(group, wanted(50), KEEP);
  const began = performance.now();
  for (const group of groups) await keeper.apply(group, { ...wanted(60), cpu: 0.7, memory: 65 * MIB }, KEEP);
  const applyMs = (performance.now() - began) / groups.length;
  const again = performance.now();
  for (const group of groups) await keeper.read(group);
  const readMs = (performance.now() - again) / groups.length;
  assert.ok(applyMs < 500 && readMs < 500, `${applyMs} ms to set, ${readMs} ms to read`);
  return { applyMs: Number(applyMs.toFixed(3)), readMs: Number(readMs.toFixed(3)) };
}

/** By name, in the order in which they run. */
export const CASES: Readonly<Record<string, Case>> = {
  'finds the container, and nobody else': findOnlyTheContainers,
  'believes a container that calls itself runc not for long': believeAFakeRuntimeNotForLong,
  'holds the containers of a pod together': holdAPodTogether,
  'sets every field, reads it back, and takes it away again': setEveryField,
  'changes a field that is named, and no other': leaveOthersAlone,
  'brings back what a runtime had set, file by file': restoreARuntimesValues,
  'puts everything back when one file is refused': putAllBackOnRefusal,
  'refuses what cannot be, and changes nothing': refuseImpossibleSets,
  'tells what the kernel cannot hold': reportWhatTheKernelCannotHold,
  'lowers memory under page cache': lowerMemoryUnderCache,
  'kills nobody for memory unless it may': neverKillUnasked,
  'counts throttling, refused forks and kills': countWhatHappens,
  'holds CPU time': holdCpu,
  'holds bytes and requests of a disk': holdDisk,
  'says of a group that it is gone': sayThatItIsGone,
  'takes little time': beQuick,
};
