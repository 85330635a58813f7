/** Gluster's nodes with certificates, and one without; and what becomes of a volume that cannot be made whole. */

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeScratchDirectory } from '../../linux/directories.ts';
import { runOk } from '../../linux/process.ts';
import { removeTree } from '../../linux/tree.ts';
import { volumeOptions } from '../../storaged/gluster/options.ts';
import { createGlusterLab, type GlusterLab, type GlusterNode } from '../support/gluster-lab.ts';

const VOLUME = 'sluice-v00000000075';

/** An authority, and a certificate of it for each node. */
const CERTIFICATES = `cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null
for node in a b stranger; do
  openssl req -newkey rsa:2048 -nodes -subj /CN=$node -keyout $node.key -out $node.csr 2>/dev/null
  openssl x509 -req -in $node.csr -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -out $node.pem 2>/dev/null
done
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=stranger -keyout stranger.key -out stranger.pem 2>/dev/null`;

let scratch: string;
let lab: GlusterLab;
let [a, b, stranger]: readonly GlusterNode[] = [];

beforeAll(async () => {
  scratch = makeScratchDirectory('gltls');
  await runOk(['sh', '-euc', CERTIFICATES, 'sh', scratch]);
  lab = await createGlusterLab(
    'gltls',
    ['a', 'b', 'stranger'],
    ({ name }) => ({
      tls: { certificate: `${scratch}/${name}.pem`, key: `${scratch}/${name}.key`, ca: `${scratch}/ca.pem` },
    }),
    ['a', 'b'],
  );
  [a, b, stranger] = lab.nodes;
}, 60_000);

afterAll(async () => {
  await lab?.close();
  removeTree(scratch);
}, 60_000);

async function create(name: string): Promise<void> {
  const bricks = await Promise.all([a!.brick(`${name}-0`), b!.brick(`${name}-1`)]);
  const hosts = lab.nodes.map(({ daemon }) => daemon.address);
  await a!.cluster.create(
    { name, layout: 'two-by-two', replicas: 2, arbiters: 0, bricks },
    volumeOptions({ hosts, tls: true }),
  );
}

describe('Gluster with certificates', () => {
  it('serves nodes and clients that have one of the authority', async () => {
    await create(VOLUME);
    await a!.cluster.start(VOLUME);
    const [at, there] = [await a!.mount(VOLUME), await b!.mount(VOLUME)];
    await a!.sh('echo words > "$1/file"', at);
    expect(await b!.sh('cat "$1/file"', there)).toBe('words\n');
    expect(await a!.status(VOLUME)).toMatchObject([{ online: true }, { online: true }]);
    expect(await a!.cluster.healInfo(VOLUME)).toEqual({ pending: 0, splitBrain: 0 });
  }, 30_000);

  it('speaks TLS at both of its ports', async () => {
    const port = (
      await a!.sh('ss -Hltnp | awk \'/glusterfsd/ { sub(/.*:/, "", $4); print $4; exit }\'')
    ).trim();
    for (const one of ['24007', port]) {
      const asked = ['openssl', 's_client', '-connect', `${a!.daemon.address}:${one}`] as const;
      const { stdout } = await b!.tryInside(['timeout', '3', ...asked]);
      expect(stdout).toContain('issuer=CN = authority');
    }
  }, 20_000);

  it('neither takes a node with another’s certificate for a member, nor lets it mount', async () => {
    const probed = await a!.tryInside([
      'timeout',
      '5',
      'gluster',
      '--mode=script',
      'peer',
      'probe',
      stranger!.daemon.address,
    ]);
    expect(probed.code).not.toBe(0);
    const mounted = await stranger!.tryInside([
      'sh',
      '-c',
      'mkdir -p /run/s; timeout 8 mount -t glusterfs "$1" /run/s; timeout 2 cat /run/s/file',
      'sh',
      `${a!.daemon.address}:/${VOLUME}`,
    ]);
    expect(mounted.stdout).toBe('');
    expect((await b!.cluster.peers()).filter(({ joined }) => joined)).toHaveLength(1);
  }, 40_000);

  it('leaves nothing of a volume whose second node goes away before it is made', async () => {
    const bricks = [await a!.brick('half-0'), await b!.brick('half-1')];
    const wish = { name: 'half', layout: 'two-by-two', replicas: 2, arbiters: 0, bricks } as const;
    await b!.sh('kill -9 "$(cat /run/glusterd.pid)"');
    await pause(200);
    await expect(a!.cluster.create(wish, {})).rejects.toMatchObject({
      code: 'try_again',
      message: expect.stringMatching(/not connected|Peer in Cluster/),
    });
    expect((await a!.cluster.volumes()).map(({ name }) => name)).toEqual([VOLUME]);
    await b!.daemon.ensure();
    expect((await b!.cluster.volumes()).map(({ name }) => name)).toEqual([VOLUME]);
  }, 30_000);
});
