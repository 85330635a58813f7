/** Gluster on a machine that stands alone: seen by nobody, found again by the next storaged, and read without glusterd. */

import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { translatorPieces } from '../../cli/translator-pieces.ts';
import { createLab } from '../../lab/lab.ts';
import { isThere, makeScratchDirectory } from '../../linux/directories.ts';
import { commandOf, findLasting, processesInMounts } from '../../linux/lasting-namespaces.ts';
import { loopsInUse } from '../../linux/loop.ts';
import { run, runOk } from '../../linux/process.ts';
import { removeTree } from '../../linux/tree.ts';
import { Config } from '../../model/config.ts';
import type { NodeName, TenantName, VolumeName } from '../../model/names.ts';
import { glusterName, type Volume, type VolumeId } from '../../model/volume.ts';
import type { RecoverLine } from '../../model/volume-request.ts';
import { createBrickKeeper } from '../../storaged/bricks/keeper.ts';
import type { GlusterDaemon } from '../../storaged/contract.ts';
import { createGlusterCluster } from '../../storaged/gluster/cluster.ts';
import { glusterCommand } from '../../storaged/gluster/command.ts';
import { createGlusterDaemon } from '../../storaged/gluster/daemon.ts';
import { markerOf, placeOf } from '../../storaged/gluster/namespaces.ts';
import { volumeOptions } from '../../storaged/gluster/options.ts';
import { readWritten } from '../../storaged/gluster/written.ts';
import { glusterDaemon, storagePlaces } from '../../storaged/open-parts.ts';
import { type RecoverPlaces, recoverHere } from '../../storaged/recovery.ts';
import { until } from '../runtimes/until.ts';

const BYTES = 400 * 2 ** 20;
const id = 'v00000000a10e' as VolumeId;
const name = glusterName(id);
const node = 'alone' as NodeName;

let scratch: string;
let places: RecoverPlaces;
let daemon: GlusterDaemon;

beforeAll(async () => {
  scratch = makeScratchDirectory('glalone');
  const { patience } = translatorPieces();
  const [object, filter] = [`${scratch}/object.so`, `${scratch}/filter.sh`];
  writeFileSync(object, 'a translator');
  writeFileSync(filter, '#!/bin/sh\nexit 0\n');
  places = {
    places: { runDir: `${scratch}/run`, stateDir: `${scratch}/state` },
    ...{ address: null, pool: `${scratch}/pool`, storage: Config.parse({}).storage, node },
    translator: { object, filter, patience },
  };
  daemon = await glusterDaemon(places);
  await daemon.ensure();
}, 30_000);

afterAll(async () => {
  await daemon?.stop();
  removeTree(scratch);
}, 30_000);

const found = async (): ReturnType<typeof findLasting> => {
  const { gluster } = storagePlaces(places.places);
  return findLasting({ marker: markerOf(gluster), lockFile: placeOf(gluster).lockFile });
};
const volumeOf = (): Volume => ({
  ...{
    id,
    tenant: 'blue' as TenantName,
    name: 'shared' as VolumeName,
    phase: 'ready',
    sizeBytes: BYTES,
    inodes: null,
  },
  ...{
    layout: 'single',
    thin: true,
    limits: {},
    nodeLimits: {},
    hosts: [node],
    coordinator: node,
    generation: 1,
  },
  bricks: [{ node, address: daemon.address, role: 'data', bytes: BYTES }],
  ...{ removeAt: null, createdAt: 0 },
});

async function recover(to: string, word: string, from = places): Promise<RecoverLine | undefined> {
  let last: RecoverLine | undefined;
  const wish = { volume: word as VolumeId, to, acceptOld: false, bricks: {} };
  for await (const line of recoverHere(from, wish, new Map([[id, volumeOf()]]), AbortSignal.timeout(30_000)))
    last = line;
  return last;
}

describe('a machine that stands alone', () => {
  it('has a Gluster that no other network namespace can reach', async () => {
    const listening = ['ss', '-Hltn'] as const;
    expect(await runOk(daemon.inside(listening))).toContain(`${daemon.address}:24007`);
    expect(await runOk(listening)).not.toContain(':24007');
    expect((await runOk(daemon.inside(['ip', '-br', 'link']))).trim().split('\n')).toHaveLength(1);
  });

  it('sees the translator in Gluster’s directory, and nobody else does', async () => {
    const library = (await runOk(['glusterfs', '--print-xlatordir'])).trim();
    const file = `${library}/features/sluice-io.so`;
    expect(await runOk(daemon.inside(['cat', file]))).toBe('a translator');
    expect(await runOk(daemon.inside(['sh', '-c', `test -x ${library}/../filter/sluice-io; echo $?`]))).toBe(
      '0\n',
    );
    expect(isThere(file)).toBe(false);
    // A new one needs no new namespace.
    writeFileSync(places.translator.object, 'a better one');
    const next = await glusterDaemon(places);
    await next.ensure();
    expect(await runOk(next.inside(['cat', file]))).toBe('a better one');
  }, 20_000);

  it('makes a volume of one brick, and mounts it', async () => {
    const command = glusterCommand({ inside: daemon.inside });
    const cluster = createGlusterCluster(command, readWritten(daemon.kept));
    const keeper = createBrickKeeper({ pool: places.pool ?? '', daemon, reserve: 0, overcommit: 10 });
    const began = performance.now();
    const brick = await keeper.ensure({ volume: id, index: 0, bytes: BYTES, inodes: null, thin: true });
    const wish = { name, layout: 'single', replicas: 1, arbiters: 0 } as const;
    await cluster.create(
      { ...wish, bricks: [`${daemon.address}:${brick.path}`] },
      volumeOptions({ hosts: [daemon.address], tls: false }),
    );
    await cluster.start(name);
    const script = 'mkdir -p /run/m; mount -t glusterfs "$1" /run/m; mountpoint -q /run/m';
    await runOk(daemon.inside(['sh', '-euc', script, 'sh', `${daemon.address}:/${name}`]));
    process.stdout.write(`    brick, volume and mount: ${Math.round(performance.now() - began)} ms\n`);
    await runOk(
      daemon.inside([
        'sh',
        '-euc',
        'mkdir /run/m/d; head -c 70M /dev/urandom > /run/m/d/big; echo words > /run/m/w; cd /run/m; sha256sum d/big w > /tmp/glalone.sums; mv /tmp/glalone.sums "$1"',
        'sh',
        `${scratch}/sums`,
      ]),
    );
    expect(await cluster.healInfo(name)).toEqual({ pending: 0, splitBrain: 0 });
  }, 30_000);

  it('is found with its record lost and its sleeper killed, and glusterd is the same', async () => {
    const before = await runOk(daemon.inside(['cat', '/run/glusterd.pid']));
    const namespaces = await found();
    await runOk(['kill', '-9', String(namespaces?.holder.pid)]);
    removeTree(`${placeOf(storagePlaces(places.places).gluster).lockFile}.json`);
    const next = await glusterDaemon(places);
    await next.ensure();
    expect(await runOk(next.inside(['cat', '/run/glusterd.pid']))).toBe(before);
    expect((await found())?.inode).toBe(namespaces?.inode);
    daemon = next;
  }, 20_000);

  it('is not read from its bricks while Gluster serves it', async () => {
    await expect(recover(`${scratch}/out`, 'shared')).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/^Gluster serves volume shared/),
    });
    expect(isThere(`${scratch}/out`)).toBe(false);
  });

  it('nor when glusterd is dead and cannot be started, as long as the process of a brick lives', async () => {
    await runOk(daemon.inside(['sh', '-c', 'kill -9 $(cat /run/glusterd.pid)']));
    await until('glusterd is dead', () => !daemon.isAlive());
    const object = `${scratch}/gone.so`;
    const broken = { ...places, translator: { ...places.translator, object } };
    const [server] = processesInMounts((await found())?.inode ?? 0).filter(
      (id) => commandOf(id)[0]?.endsWith('glusterfsd') === true,
    );
    await expect(recover(`${scratch}/out`, 'shared', broken)).rejects.toMatchObject({
      ...{ code: 'refused', message: expect.stringContaining('glusterd does not tell') },
      hint: expect.stringMatching(`: kill ${server?.pid}$`),
    });
    await runOk(['kill', '-9', String(server?.pid)]);
    expect(await recover(`${scratch}/killed`, 'shared', broken)).toMatchObject({ recovered: { files: 2 } });
  }, 30_000);

  it('reads its files with all of Gluster dead and its bricks unmounted', async () => {
    await daemon.stop();
    expect(await recover(`${scratch}/out`, 'shared')).toEqual({
      recovered: { files: 2, bytes: 70 * 2 ** 20 + 6, refused: [] },
    });
    expect((await run(['sha256sum', '-c', `${scratch}/sums`], { cwd: `${scratch}/out` })).code).toBe(0);
    await expect(recover(`${scratch}/other`, 'nothing')).rejects.toMatchObject({ code: 'not_found' });
    await expect(recover(`${scratch}/out`, id)).rejects.toMatchObject({ code: 'conflict' });
  }, 40_000);

  it('leaves nothing behind when it is stopped', async () => {
    await daemon.stop();
    expect(await found()).toBeUndefined();
    expect(loopsInUse().filter(({ file }) => file.startsWith(scratch))).toEqual([]);
    expect((await run(['pgrep', '-f', scratch])).stdout).toBe('');
  }, 20_000);

  it('goes with the lab that it is in', async () => {
    const lab = await createLab({ prefix: 'glgone', nodes: ['a'] });
    const directory = `${lab.directory}/nodes/a/gluster`;
    try {
      await createGlusterDaemon({ directory, uplink: null }).ensure();
    } finally {
      await lab.close();
    }
    expect(
      await findLasting({ marker: markerOf(directory), lockFile: placeOf(directory).lockFile }),
    ).toBeUndefined();
    expect((await run(['pgrep', '-f', directory])).stdout).toBe('');
  }, 20_000);
});
