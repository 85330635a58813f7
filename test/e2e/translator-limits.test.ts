/** That the IO translator's limits hold on a real volume, whatever a tenant does. Needs root, Gluster and fio. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { until } from '../runtimes/until.ts';
import { type BrickClient, type OneBrick, oneBrick } from '../support/one-brick.ts';

const NO_LIMITS = 'read-bytes=0,write-bytes=0,read-ops=0,write-ops=0,burst-ms=100';
const STORM = path.resolve(import.meta.dirname, '../support/storm.ts');
/** What is kept of unused rate, and so comes on top within a short time. */
const BURST_S = 0.1;

let brick: OneBrick;
let client: BrickClient;
let directories = 0;

beforeAll(async () => {
  brick = await oneBrick();
  client = await brick.client('one');
});
afterAll(() => brick[Symbol.asyncDispose]());
afterEach(() => client.setLimits(NO_LIMITS));

/** @returns units a second */
async function fio(root: string, unit: 'bw_bytes' | 'iops', ...words: string[]): Promise<number> {
  const job = [
    '--name=job',
    `--directory=${root}`,
    '--size=64m',
    '--fallocate=none',
    '--group_reporting',
    '--thread',
  ];
  const time = ['--time_based', '--ramp_time=300ms', '--runtime=1500ms', '--output-format=json'];
  const { jobs } = JSON.parse(await brick.runOk('fio', ...job, ...time, ...words)) as {
    jobs: Record<'read' | 'write', Record<'bw_bytes' | 'iops', number>>[];
  };
  return (jobs[0]?.read[unit] ?? 0) + (jobs[0]?.write[unit] ?? 0);
}

it.each([
  ['write-bytes=20000000', 20_000_000, 'bw_bytes', ['--rw=write', '--bs=64k', '--direct=1']],
  ['write-bytes=5000000', 5_000_000, 'bw_bytes', ['--rw=write', '--bs=64k']],
  ['write-ops=200', 200, 'iops', ['--rw=randwrite', '--bs=4k', '--direct=1', '--numjobs=4']],
  ['read-bytes=20000000', 20_000_000, 'bw_bytes', ['--rw=read', '--bs=64k', '--direct=1']],
  ['read-bytes=20000000', 20_000_000, 'bw_bytes', ['--rw=read', '--bs=64k']],
  ['read-ops=200', 200, 'iops', ['--rw=randread', '--bs=4k', '--direct=1']],
] as const)('%s is held: %d %s', async (limits, target, unit, words) => {
  await client.setLimits(limits);
  const got = await fio(client.root, unit, ...words);
  // Short as it is; P8 measures what the goal is.
  expect(got / target).toBeGreaterThan(0.8);
  expect(got / target).toBeLessThan(1.1);
});

/** How many it can do within the time. */
async function storm(kind: string, seconds: number): Promise<number> {
  directories += 1;
  const directory = `${client.root}/storm-${directories}`;
  await brick.runOk('mkdir', directory);
  return Number(await brick.runOk(process.execPath, STORM, directory, kind, String(seconds)));
}

const CHANGES = ['create', 'mkdir', 'symlink', 'link', 'rename', 'chmod', 'truncate', 'fsync', 'write'];
const LOOKS = ['lookup', 'open', 'readdir'];

it('a storm of metadata keeps to the limit of operations', async () => {
  let tried = 0;
  const passed: string[] = [];
  for (const [kinds, limit] of [
    [CHANGES, 'write-ops=100'],
    [LOOKS, 'read-ops=100'],
  ] as const) {
    await client.setLimits(limit);
    for (const kind of kinds) {
      const done = await storm(kind, 0.4);
      tried += 1;
      if (done > 100 * (0.4 + BURST_S) + 2) passed.push(`${kind} ${done}`);
    }
  }
  await client.setLimits(NO_LIMITS);
  // They could do more, if they were let.
  expect(await storm('create', 0.5)).toBeGreaterThan(100 * (0.5 + BURST_S) + 10);
  expect(await storm('lookup', 0.5)).toBeGreaterThan(100 * (0.5 + BURST_S) + 10);
  process.stdout.write(`A17 metadata storms: tried ${tried}, survived ${tried - passed.length}\n`);
  expect(passed).toEqual([]);
});

it('a limit of bytes alone holds storms of empty files, and of attributes', async () => {
  await client.setLimits('write-bytes=409600,read-bytes=64000');
  expect(await storm('create', 0.4)).toBeLessThanOrEqual(100 * (0.4 + BURST_S) + 2);
  expect(await storm('lookup', 0.4)).toBeLessThanOrEqual(125 * (0.4 + BURST_S) + 2);
  const script = `import { execFileSync } from 'node:child_process'; const until = performance.now() + 400; let done = 0;
    for (; performance.now() < until; done++) execFileSync('setfattr', ['-n', 'user.x', '-v', 'x'.repeat(40000), process.argv[2]]);
    process.stdout.write(String(done));`;
  const file = path.join(brick.directory, 'attributes.mjs');
  writeFileSync(file, script);
  const done = Number(await brick.runOk(process.execPath, file, client.root));
  expect(done).toBeLessThanOrEqual((409_600 * (0.4 + BURST_S)) / 44_096 + 2);
});

it('what allocates without writing keeps to the limit of bytes', async () => {
  await client.setLimits('write-bytes=10000000');
  for (const mode of [[], ['--zero-range'], ['--punch-hole']]) {
    const script =
      'shift; i=0; while [ $i -lt 12 ]; do fallocate "$@" -o $((i*1000000)) -l 1000000; i=$((i+1)); done';
    await brick.runOk('sh', '-c', `echo x >"$1/allocated"`, 'sh', client.root);
    const began = performance.now();
    const { code } = await brick.run('sh', '-c', script, 'sh', 'x', ...mode, `${client.root}/allocated`);
    const seconds = (performance.now() - began) / 1_000;
    expect({ mode, code }).toEqual({ mode, code: 0 });
    // Twelve times a tenth of a second, less the burst and the one that leads into debt.
    expect(seconds).toBeGreaterThan(0.95);
  }
});

interface Started {
  readonly ended: Promise<unknown>;
}

/** A program inside that runs beside the test. */
async function begin(...argv: readonly [string, ...string[]]): Promise<Started> {
  const [program, ...args] = brick.inside(argv);
  const child = spawn(program, args, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await once(child, 'spawn');
  return { ended };
}

/** nsenter waits for what it has started in the namespace: that has to be killed. */
async function killWithin(name: string, most: number): Promise<void> {
  const { stdout } = await brick.run('pgrep', '-x', name);
  const began = performance.now();
  await brick.run('kill', '-9', ...stdout.trim().split('\n'));
  await until(`${name} is dead`, async () => (await brick.run('pgrep', '-x', name)).code !== 0);
  expect(performance.now() - began).toBeLessThan(most);
}

/** So that nothing but the writing itself waits. */
const makeFiles = (...names: string[]) =>
  brick.runOk('sh', '-c', 'cd "$1"; shift; touch "$@"', 'sh', client.root, ...names);

it.each([
  ['direct', ['oflag=direct']],
  ['buffered', []],
])('a killed writer dies at once, however little it is allowed: %s', async (_, flags) => {
  const names = [1, 2, 3, 4].map((n) => `killed-${n}`);
  await makeFiles(...names, 'next');
  await client.setLimits('write-bytes=64000');
  const dd = ['dd', 'if=/dev/zero', 'bs=1M', 'count=100', 'conv=notrunc'] as const;
  const writers = await Promise.all(names.map((name) => begin(...dd, `of=${client.root}/${name}`, ...flags)));
  await until('all wait', async () => (await client.statistics()).write.queued >= 4);
  await killWithin('dd', 2_000);
  await Promise.all(writers.map(({ ended }) => ended));
  expect((await client.statistics()).write.queued).toBe(0);
  // Who comes next does not pay for them: they leave a second of debt at most.
  const began = performance.now();
  await brick.runOk('dd', 'if=/dev/zero', `of=${client.root}/next`, 'bs=1', 'count=1', 'conv=notrunc');
  expect(performance.now() - began).toBeLessThan(3_000);
});

it('a terabyte that is allocated and killed leaves the mount to others', async () => {
  await makeFiles('huge', 'next');
  await client.setLimits('write-bytes=1000000');
  const writer = await begin('fallocate', '-l', '1T', `${client.root}/huge`);
  await until('it waits', async () => (await client.statistics()).write.queued === 1);
  await killWithin('fallocate', 2_000);
  await writer.ended;
  const began = performance.now();
  await brick.runOk(
    'dd',
    'if=/dev/zero',
    `of=${client.root}/next`,
    'bs=4k',
    'count=1',
    'oflag=direct',
    'conv=notrunc',
  );
  expect(performance.now() - began).toBeLessThan(2_500);
});

it('a look into a directory does not wait behind what readers and writers have queued', async () => {
  const names = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `busy-${n}`);
  for (const name of names)
    await brick.runOk('dd', 'if=/dev/zero', `of=${client.root}/${name}`, 'bs=1M', 'count=4');
  await client.setLimits('write-bytes=1000000,read-bytes=1000000');
  const dd = ['dd', 'bs=1M', 'count=4', 'conv=notrunc'] as const;
  const busy = await Promise.all(
    names.flatMap((name) => [
      begin(...dd, 'if=/dev/zero', `of=${client.root}/${name}`, 'oflag=direct'),
      begin(...dd, 'of=/dev/null', `if=${client.root}/${name}`, 'iflag=direct'),
    ]),
  );
  // Two seconds of each: whoever had to wait behind them with every step would take a dozen.
  await until('they wait', async () => {
    const { read, write } = await client.statistics();
    return read.queued >= 16 && write.queued >= 16;
  });
  const began = performance.now();
  await brick.runOk('ls', client.root);
  await brick.runOk('mkdir', `${client.root}/beside`);
  expect(performance.now() - began).toBeLessThan(6_000);
  await killWithin('dd', 3_000);
  await Promise.all(busy.map(({ ended }) => ended));
});

it('a change of the limit is felt at once, by who already waits, too', async () => {
  await makeFiles('live');
  await client.setLimits('write-bytes=64000');
  const writer = await begin(
    'dd',
    'if=/dev/zero',
    `of=${client.root}/live`,
    'bs=1M',
    'count=20',
    'oflag=direct',
    'conv=notrunc',
  );
  await until('it waits', async () => (await client.statistics()).write.queued >= 1);
  const began = performance.now();
  await client.setLimits('write-bytes=40000000');
  await writer.ended;
  const seconds = (performance.now() - began) / 1_000;
  // 20 MiB take half a second; a second of debt may be left of what was before.
  expect(seconds).toBeLessThan(2.5);
});

it('limits are set and told at once, whatever waits for its turn in the directory that is asked for it', async () => {
  await client.setLimits('write-ops=5,read-ops=5');
  const names = Array.from({ length: 20 }, (_, n) => `${client.root}/locked-${n}`);
  const maker = await begin('mkdir', ...names);
  await until('one waits', async () => (await client.statistics()).metadata.queued >= 1);
  const began = performance.now();
  await client.setLimits(NO_LIMITS);
  await maker.ended;
  expect(performance.now() - began).toBeLessThan(3_000);
});

/** A file of docs/translator.md: one burst of 100 ms, one rate. */
function sharedBucket(name: string, writeBytes: number): string {
  const bytes = Buffer.alloc(80);
  bytes.write('SLUICEIO');
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt32LE(100, 12);
  bytes.writeBigUInt64LE(BigInt(writeBytes), 32);
  const file = path.join(brick.directory, name);
  writeFileSync(file, bytes, { mode: 0o600 });
  return file;
}

it('mounts that share a bucket keep to it together, each to its own besides', async () => {
  const parents = sharedBucket('shared', 10_000_000);
  const two = await brick.client('two', { options: { parents } });
  const three = await brick.client('three', { options: { parents, 'write-bytes': 2_000_000 } });
  const words = ['--rw=write', '--bs=64k', '--direct=1'];
  const [twos, threes] = await Promise.all([
    fio(two.root, 'bw_bytes', ...words, '--filename=by-two'),
    fio(three.root, 'bw_bytes', ...words, '--filename=by-three'),
  ]);
  expect((twos + threes) / 10_000_000).toBeGreaterThan(0.88);
  expect((twos + threes) / 10_000_000).toBeLessThan(1.12);
  expect(threes / 2_000_000).toBeLessThan(1.12);
  expect(threes / 2_000_000).toBeGreaterThan(0.8);
});
