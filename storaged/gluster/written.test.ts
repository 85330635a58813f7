/** Against what glusterd 10.3 has written down. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makeScratchDirectory } from '../../linux/directories.ts';
import { readWritten } from './written.ts';

const INFO = `type=2
count=3
status=1
sub_count=3
replica_count=3
arbiter_count=1
disperse_count=0
redundancy_count=0
version=4
transport-type=0
volume-id=21ae9a4e-1b0c-4f34-94f4-6a1a1ad2b6bb
username=3d6a8a5b-9b0e-4ee5-a0bb-6bb2d2b2a9d4
password=0f7b5d3e-6d68-4b0d-a0d0-5c9d1a5b7a11
op-version=70000
client-op-version=70000
quota-version=0
tier-enabled=0
snapd-port=0
auth.allow=192.0.2.1,192.0.2.2
features.shard=on
brick-0=192.0.2.1:-srv-b-0
brick-1=192.0.2.2:-srv-b-1
brick-2=192.0.2.3:-srv-b-2
`;

let directory: string;

beforeEach(() => {
  directory = makeScratchDirectory('written');
  mkdirSync(`${directory}/peers`);
  mkdirSync(`${directory}/vols/v1/bricks`, { recursive: true });
  writeFileSync(`${directory}/vols/v1/info`, INFO);
  for (const n of [0, 1, 2])
    writeFileSync(
      `${directory}/vols/v1/bricks/192.0.2.${n + 1}:-srv-b-${n}`,
      `uuid=x\nhostname=192.0.2.${n + 1}\npath=/srv/b-${n}\nreal_path=/srv/b-${n}\nlisten-port=0\nbrick-id=v1-client-${n}\n`,
    );
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('what glusterd has written down', () => {
  it('tells volumes with their bricks and options', () => {
    expect(readWritten(directory).volumes()).toEqual([
      {
        replicas: 3,
        volume: {
          ...{ name: 'v1', state: 'started' },
          bricks: [
            { name: '192.0.2.1:/srv/b-0', arbiter: false },
            { name: '192.0.2.2:/srv/b-1', arbiter: false },
            { name: '192.0.2.3:/srv/b-2', arbiter: true },
          ],
          options: { 'auth.allow': '192.0.2.1,192.0.2.2', 'features.shard': 'on' },
        },
      },
    ]);
  });

  it('sees at once what has changed, and what has gone', () => {
    const written = readWritten(directory);
    expect(written.volumes()[0]?.volume.state).toBe('started');
    writeFileSync(`${directory}/vols/v1/info`, INFO.replace('status=1', 'status=2'));
    expect(written.volumes()[0]?.volume.state).toBe('stopped');
    rmSync(`${directory}/vols/v1`, { recursive: true });
    expect(written.volumes()).toEqual([]);
  });

  it('does not tell of a volume whose record is not whole', () => {
    rmSync(`${directory}/vols/v1/bricks/192.0.2.3:-srv-b-2`);
    expect(readWritten(directory).volumes()).toEqual([]);
  });

  it.each(['status=9', 'status=x'])('does not guess what %s means', (line) => {
    writeFileSync(`${directory}/vols/v1/info`, INFO.replace('status=1', line));
    expect(() => readWritten(directory).volumes()).toThrow('a status that is not known');
  });

  it('tells full members, and options of the cluster', () => {
    writeFileSync(`${directory}/peers/one`, 'uuid=one\nstate=3\nhostname1=192.0.2.2\n');
    writeFileSync(`${directory}/peers/two`, 'uuid=two\nstate=4\nhostname1=192.0.2.3\n');
    writeFileSync(`${directory}/options`, 'global-option-version=2\ncluster.brick-multiplex=on\n');
    const written = readWritten(directory);
    expect(written.members()).toEqual(['192.0.2.2']);
    expect(written.options().get('cluster.brick-multiplex')).toBe('on');
  });

  it('is nothing before glusterd was ever started', () => {
    const written = readWritten(`${directory}/nowhere`);
    expect([written.volumes(), written.members(), written.options().size]).toEqual([[], [], 0]);
  });
});
