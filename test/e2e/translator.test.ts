/** The IO translator on a real volume: how it is asked and set, whom it lets, what it outlives. Needs root and Gluster. */
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { runOk } from '../../linux/process.ts';
import { type BrickClient, type OneBrick, oneBrick } from '../support/one-brick.ts';

const NO_LIMITS = 'read-bytes=0,write-bytes=0,read-ops=0,write-ops=0,burst-ms=100';

let brick: OneBrick;
let client: BrickClient;

beforeAll(async () => {
  brick = await oneBrick();
  client = await brick.client('one', { options: { 'write-bytes': 3_000_000, 'read-ops': 70 } });
});
afterAll(() => brick[Symbol.asyncDispose]());

const sh = (script: string) => brick.run('sh', '-c', script, 'sh', client.root);
const names = (kind: 'limits' | 'statistics', token = client.token): string =>
  `trusted.sluice.io.${kind}.${token}`;

it('holds what its options say, tells it, and takes other limits live', async () => {
  expect((await client.statistics()).limits).toEqual({
    'volume.read': null,
    'volume.write': 3_000_000,
    'volume.readOps': 70,
    'volume.writeOps': null,
  });
  await brick.runOk('setfattr', '-n', names('limits'), '-v', 'read-bytes=5000000,write-ops=8', client.root);
  await client.setLimits('write-ops=9,read-ops=0');
  expect((await client.statistics()).limits).toEqual({
    'volume.read': 5_000_000,
    'volume.write': 3_000_000,
    'volume.readOps': null,
    'volume.writeOps': 9,
  });
  expect(await brick.runOk('getfattr', '--only-values', '-n', names('limits'), client.root)).toBe(
    'read-bytes=5000000,write-bytes=3000000,read-ops=0,write-ops=9,burst-ms=100',
  );
  await client.setLimits(NO_LIMITS);
});

it('refuses limits that it cannot read, and keeps those it has', async () => {
  await client.setLimits('write-bytes=1234567');
  for (const text of ['', 'write-bytes=fast', 'write-bytes=-1', 'writes=5', 'write-bytes=5,,read-ops=1']) {
    const { code, stderr } = await brick.run('setfattr', '-n', names('limits'), '-v', text, client.root);
    expect({ text, code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/Invalid argument/),
    });
  }
  expect((await client.statistics()).limits['volume.write']).toBe(1_234_567);
  await client.setLimits(NO_LIMITS);
});

it('raises a limit that could not be held to the least that can, and says so', async () => {
  await client.setLimits('write-bytes=1');
  expect((await client.statistics()).limits['volume.write']).toBe(64_000);
  await client.setLimits(NO_LIMITS);
});

it('counts operations, bytes, and those that fail', async () => {
  const before = await client.statistics();
  await sh(
    'cd "$1" && dd if=/dev/zero of=counted bs=64k count=10 oflag=direct && dd if=counted of=/dev/null bs=64k iflag=direct',
  );
  await sh('cd "$1" && mkdir twice && ! mkdir -m 7 twice/none/none');
  await sh(
    'cd "$1" && chmod 0 counted && setfattr -n user.x -v "$(head -c 60000 /dev/zero | tr "\\0" x)" counted; rmdir /"$1"; true',
  );
  const after = await client.statistics();
  expect(after.write.bytes - before.write.bytes).toBe(655_360);
  expect(after.write.ops - before.write.ops).toBe(10);
  expect(after.read.bytes - before.read.bytes).toBe(655_360);
  expect(after.metadata.ops - before.metadata.ops).toBeGreaterThan(5);
  const sum = (list: readonly number[]): number => list.reduce((total, one) => total + one, 0);
  expect(sum(after.write.latency)).toBe(after.write.ops + after.write.errors);
  expect(after.write.queued).toBe(0);
});

it('gives containers no attribute that is an order or a secret of Gluster, whatever rights they have', async () => {
  await sh('echo x >"$1/attributes" && setfattr -n user.own -v mine "$1/attributes"');
  const file = `${client.root}/attributes`;
  const refused = [
    names('limits', 'wrong'),
    names('statistics', 'wrong'),
    names('limits', ''),
    'trusted.sluice.io.statistics',
    'trusted.glusterfs.pathinfo',
    'trusted.glusterfs.node-uuid',
    'trusted.glusterfs.volume-id',
    'trusted.gfid',
    'trusted.glusterfs.dht',
    'trusted.glusterfs.list-xattr',
    'trusted.glusterfs.shard.block-size',
    'trusted.io-stats-dump',
    'glusterfs.pathinfo',
    'glusterfs.gfidtopath',
    'glusterfs.clrlk.tposix.kall',
    'glusterfs.intrlk.tposix.kall',
    'glusterfs.get_real_filename:attributes',
    'distribute.fix.layout',
    'replica.split-brain-status',
    'user.glusterfs.bd',
    'user.io-stats-dump',
    'trusted.own',
  ];
  let survived = 0;
  for (const name of refused) {
    const got = await brick.run('getfattr', '-n', name, file);
    const put = await brick.run('setfattr', '-n', name, '-v', 'x', file);
    const taken = await brick.run('setfattr', '-x', name, file);
    if (got.code !== 0 && put.code !== 0 && taken.code !== 0) survived += 3;
    expect({ name, get: got.code, set: put.code, remove: taken.code }).toEqual({
      name,
      get: 1,
      set: 1,
      remove: 1,
    });
  }
  process.stdout.write(`A16 virtual attributes: tried ${3 * refused.length}, survived ${survived}\n`);
  expect(await brick.runOk('getfattr', '-d', '-m', '-', file)).toContain('user.own="mine"');
  expect(
    (await brick.runOk('getfattr', '-m', '-', file)).split('\n').filter((line) => /^[a-z]+\./.test(line)),
  ).toEqual(['user.own']);
});

it('has no .meta, by whatever way', async () => {
  for (const name of ['.meta', '.meta/graphs', '.meta/version', './/.meta/', 'a/../.meta']) {
    await sh('mkdir -p "$1/a"');
    const { stderr } = await brick.run('ls', `${client.root}/${name}`);
    expect({ name, stderr }).toMatchObject({ stderr: expect.stringMatching(/No such file/) });
  }
  // The name is like any other.
  expect(await sh('mkdir "$1/.meta" && rmdir "$1/.meta"')).toMatchObject({ code: 0 });
});

it('keeps limits and counters when the graph of the volume changes under a writer', async () => {
  await client.setLimits('write-bytes=2000000');
  const before = await client.statistics();
  const writing = sh(
    'dd if=/dev/zero of="$1/switched" bs=100k count=60 oflag=direct; cat "$1/switched" | wc -c',
  );
  await brick.runOk('gluster', '--mode=script', 'volume', 'set', 'v', 'features.ctime', 'off');
  const { stdout } = await writing;
  expect(stdout.trim()).toBe('6144000');
  // Clients tell of nothing less than warnings, but write down each graph that they are given.
  const [, , graph] = client.log().split('Final graph:');
  expect(graph).toMatch(/type features\/sluice-io/);
  expect(graph).not.toMatch(/type features\/utime/);
  const after = await client.statistics();
  expect(after.write.bytes - before.write.bytes).toBe(6_144_000);
  expect(after.limits['volume.write']).toBe(2_000_000);
  // Before and after, it was the limit that paced it: three seconds, less the burst.
  expect(after.write.throttledMs - before.write.throttledMs).toBeGreaterThan(2_500);
  await client.setLimits(NO_LIMITS);
});

it('does not start with a token that others may read, or a shared bucket that is none', async () => {
  const file = path.join(brick.directory, 'open-token');
  writeFileSync(file, 'secret');
  chmodSync(file, 0o644);
  await expect(brick.client('open', { options: { token: file } })).rejects.toThrow(
    /may be read by others than its owner/,
  );
  await expect(brick.client('none', { options: { parents: '/nonexistent' } })).rejects.toThrow(
    /shared bucket \/nonexistent: No such file/,
  );
  await expect(brick.client('text', { options: { 'read-ops': 'many' } })).rejects.toThrow(
    /'many' is no rate/,
  );
});

it('refuses to load where libglusterfs was built otherwise than its headers say', async () => {
  const copy = path.join(brick.directory, 'headers');
  cpSync('/usr/include/glusterfs', path.join(copy, 'glusterfs'), { recursive: true });
  const stack = path.join(copy, 'glusterfs/stack.h');
  const text = readFileSync(stack, 'utf8');
  writeFileSync(stack, text.replace('struct _call_stack {', 'struct _call_stack { long added;'));
  mkdirSync(path.join(brick.directory, 'built'));
  const root = path.resolve(import.meta.dirname, '../..');
  await runOk([
    'make',
    '-s',
    '-C',
    root,
    `${brick.directory}/built/sluice-io.so`,
    `CPPFLAGS=-isystem ${copy}`,
  ]);
  const library = `${(await runOk(['glusterfs', '--print-xlatordir'])).trim()}/features/sluice-io.so`;
  await brick.runOk('mount', '--bind', `${brick.directory}/built/sluice-io.so`, library);
  try {
    await expect(brick.client('other')).rejects.toThrow(
      /built for another libglusterfs: call_stack_t has another size/,
    );
  } finally {
    await brick.runOk('umount', library);
  }
});
