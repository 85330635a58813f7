/** A volume whose Gluster is gone: its files, from the bricks alone. */

import { readFileSync, statSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeScratchDirectory } from '../../linux/directories.ts';
import { runOk } from '../../linux/process.ts';
import { removeTree } from '../../linux/tree.ts';
import { volumeOptions } from '../../storaged/gluster/options.ts';
import { type RecoveryBrick, type RecoveryRequest, recoverVolume } from '../../storaged/gluster/recover.ts';
import { createGlusterLab, type GlusterLab, type GlusterNode } from '../support/gluster-lab.ts';

const VOLUME = 'sluice-v0000000000aa';
const BIG_MIB = 80;

/** Everything that a reader sees of a tree. */
const LOOK = `cd "$1"
find . -type f -exec sha256sum {} + | sort -k2
find . -printf '%p %y %m %U:%G %l %s %n\\n' | grep -v ' d ' | sort
find . -mindepth 1 -type d -printf '%p %m %U:%G\\n' | sort
getfattr -n user.colour --only-values f20 2>/dev/null`;

let lab: GlusterLab;
let scratch: string;
let bricks: readonly RecoveryBrick[];
let seen: string;
let marks: string;

beforeAll(async () => {
  scratch = makeScratchDirectory('glrec');
  lab = await createGlusterLab('glrec', ['a', 'b', 'c']);
  const [a, b, c] = lab.nodes as [GlusterNode, GlusterNode, GlusterNode];
  const places = [a, b, c, b, c, a].map((node, index) => ({ node, name: `brick-${index}` }));
  const names = await Promise.all(places.map(({ node, name }) => node.brick(name)));
  const hosts = lab.nodes.map(({ daemon }) => daemon.address);
  await a.cluster.create(
    { name: VOLUME, layout: 'two-by-two', replicas: 3, arbiters: 1, bricks: names },
    volumeOptions({ hosts, tls: false }),
  );
  await a.cluster.start(VOLUME);
  const at = await a.mount(VOLUME);
  await a.sh(
    `cd "$1"
    mkdir -p dir/deep; chmod 750 dir; chown 1234:567 dir/deep
    for n in $(seq 24); do head -c $((n * 1000)) /dev/urandom > f$n; done
    head -c ${BIG_MIB}M /dev/urandom > dir/big
    truncate -s 140M dir/holes; printf end | dd of=dir/holes bs=1 seek=140000000 conv=notrunc status=none
    ln -s ../f1 dir/link; ln f19 dir/deep/second; setfattr -n user.colour -v blue f20; chmod 4755 f21; sync`,
    at,
  );
  // While the bricks of b are away, some of everything changes; they miss it.
  await b.sh('kill -9 $(cat /run/gluster/vols/*/*.pid | sort -u)');
  await pause(200);
  await a.sh(
    `cd "$1"
    for n in $(seq 8); do head -c 5000 /dev/urandom > f$n.tmp; mv f$n.tmp f$n; printf more >> f$((n + 8)); done
    rm f17 f18; printf new > dir/new
    printf changed | dd of=dir/big bs=1M seek=70 conv=notrunc status=none; sync`,
    at,
  );
  seen = await a.sh(LOOK, at);
  bricks = places.map(({ node, name }, index) => ({
    arbiter: index % 3 === 2,
    set: Math.floor(index / 3),
    directory: `/proc/${holderOf(node)}/root${node.daemon.brickRoot}/${name}/data`,
  }));
  await everythingNoted(bricks.filter((_, index) => places[index]?.node !== b));
  await a.unmount(at);
  // All of Gluster dies on all nodes at once; the file systems stay.
  for (const { sh } of lab.nodes)
    await sh(
      'kill -9 $(pidof glusterd glusterfs glusterfsd | tr " " "\\n" | while read p; do [ "$(readlink /proc/$p/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ] || echo $p; done)',
    ).catch(() => undefined);
  marks = await marksOnBricks();
}, 90_000);

afterAll(async () => {
  await lab?.close();
  removeTree(scratch);
}, 60_000);

function holderOf({ daemon }: GlusterNode): number {
  const file = daemon.brickRoot.replace(/bricks$/, 'namespaces.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid;
}

/** What a brick missed that was away is noted on the others up to a second after the last write. */
function everythingNoted(written: readonly RecoveryBrick[]): Promise<string> {
  const wait = `for n in $(seq 100); do
    getfattr -R -h -d -m '^trusted.afr.dirty$' -e hex --absolute-names "$@" | grep -q 'dirty=0x.*[1-9a-f]' || exit 0
    sleep 0.1
  done; echo 'files are still dirty' >&2; exit 1`;
  return runOk(['sh', '-c', wait, 'sh', ...written.flatMap(({ directory }) => directory ?? [])]);
}

/** Names, sizes, and when each file or its attributes were last changed. */
function marksOnBricks(): Promise<string> {
  const directories = bricks.flatMap(({ directory }) => directory ?? []);
  return runOk(['find', ...directories, '-printf', '%p %s %T@ %C@\\n']);
}

const request = (name: string, more: Partial<RecoveryRequest> = {}): RecoveryRequest => ({
  ...{ volume: VOLUME, bricks, into: `${scratch}/${name}`, acceptOld: false, partly: false },
  ...more,
});
const without = (...gone: readonly number[]): readonly RecoveryBrick[] =>
  bricks.map((brick, index) => (gone.includes(index) ? { ...brick, directory: null } : brick));
const look = (name: string): Promise<string> => runOk(['sh', '-c', LOOK, 'sh', `${scratch}/${name}`]);

describe('recovery from bricks', () => {
  it('restores every file as it was last seen, from good copies among old ones, and writes to no brick', async () => {
    const began = performance.now();
    const { files, bytes, refused } = await recoverVolume(request('all'));
    const seconds = (performance.now() - began) / 1_000;
    process.stdout.write(
      `    ${files} names and ${Math.round(bytes / 2 ** 20)} MiB restored in ${seconds.toFixed(1)} s\n`,
    );
    expect(refused).toEqual([]);
    expect(await look('all')).toBe(seen);
    // A tenant's programs may be set-user-id root: nobody else is to get at them.
    expect(statSync(`${scratch}/all`)).toMatchObject({ uid: 0, mode: 0o40700 });
    expect(await marksOnBricks()).toBe(marks);
  }, 40_000);

  it('does the same without those bricks that are old, as long as each set has most of its own', async () => {
    await recoverVolume(request('most', { bricks: without(1, 3) }));
    expect(await look('most')).toBe(seen);
  }, 40_000);

  it('refuses where the only copies at hand are old, naming the files and who knows better', async () => {
    const refusal = recoverVolume(request('old', { bricks: without(0, 4) }));
    await expect(refusal).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/the only copy at hand, on brick [13], lacks what brick [25] knows of/),
    });
    expect(await runOk(['ls', '-A', scratch])).not.toContain('old');
  }, 20_000);

  it('refuses where so few bricks are at hand that what they hold may be old, unless that is accepted', async () => {
    const few = { bricks: without(0, 2, 4, 5) };
    await expect(recoverVolume(request('few', few))).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('set 0 lacks brick 0 and 2; set 1 lacks brick 4 and 5'),
    });
    const { files } = await recoverVolume(request('few', { ...few, acceptOld: true }));
    expect(files).toBeGreaterThan(24);
    expect(await look('few')).not.toBe(seen);
  }, 40_000);

  it('names a file whose copies accuse each other, and restores the rest when asked to', async () => {
    const [first] = (
      await runOk(['sh', '-c', 'cd "$1"; ls f2? | head -1', 'sh', bricks[0]?.directory ?? ''])
    ).split('\n');
    const pending = `0x${'00000001'}${'0'.repeat(16)}`;
    for (const [brick, other] of [
      [0, 1],
      [1, 0],
    ] as const)
      await runOk([
        'setfattr',
        '-n',
        `trusted.afr.${VOLUME}-client-${other}`,
        '-v',
        pending,
        `${bricks[brick]?.directory}/${first}`,
      ]);
    await expect(recoverVolume(request('split'))).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining(
        `/${first}: all copies accuse each other (split brain): bricks 0 and 1`,
      ),
    });
    const { refused } = await recoverVolume(request('split', { partly: true }));
    expect(refused.map(({ path }) => path)).toEqual([first]);
    const rest = (text: string): string =>
      text
        .split('\n')
        .filter((line) => !line.includes(`./${first}`))
        .join('\n');
    expect(rest(await look('split'))).toBe(rest(seen));
  }, 40_000);

  it('restores nothing into a directory that holds something', async () => {
    await expect(recoverVolume(request('all'))).rejects.toMatchObject({ code: 'conflict' });
  });
});
