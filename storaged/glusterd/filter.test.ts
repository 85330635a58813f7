/** The program that glusterd runs with each volfile it has written, on files as it writes them. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makeScratchDirectory, namesIn } from '../../linux/directories.ts';
import { run } from '../../linux/process.ts';

const PROGRAM = path.resolve(import.meta.dirname, '../../build/sluice-volfiles');
const part = (name: string, type: string, below: string, ...options: readonly string[]): string =>
  [
    `volume ${name}`,
    `    type ${type}`,
    ...options.map((option) => `    option ${option}`),
    ...(below === '' ? [] : [`    subvolumes ${below}`]),
    'end-volume\n\n',
  ].join('\n');
const CLIENT =
  part('v-client-0', 'protocol/client', '', 'ping-timeout 42', 'remote-host 192.0.2.1') +
  part('v-client-1', 'protocol/client', '', 'ping-timeout 42', 'remote-host 192.0.2.2') +
  part('v-replicate-0', 'cluster/replicate', 'v-client-0 v-client-1') +
  part('v-write-behind', 'performance/write-behind', 'v-replicate-0') +
  part('v-open-behind', 'performance/open-behind', 'v-write-behind') +
  part('v-md-cache', 'performance/md-cache', 'v-open-behind') +
  part('v', 'debug/io-stats', 'v-md-cache', 'log-level INFO', 'latency-measurement off');

let directory: string;
beforeEach(() => {
  directory = makeScratchDirectory('volfiles');
});
afterEach(() => rmSync(directory, { recursive: true }));

async function filtered(name: string, text: string): Promise<string> {
  const file = path.join(directory, name);
  writeFileSync(file, text);
  expect(await run([PROGRAM, file])).toEqual({ code: 0, stdout: '', stderr: '' });
  expect(namesIn(directory)).toEqual([name]);
  return readFileSync(file, 'utf8');
}

describe('a volfile', () => {
  it('of clients gets our options, is rid of what they do without, and has the translator on top', async () => {
    const text = await filtered('v.tcp-fuse.vol', CLIENT);
    expect(text.match(/option ping-timeout \S+/g)).toEqual([
      'option ping-timeout 5',
      'option ping-timeout 5',
    ]);
    expect(text).toContain('option remote-host 192.0.2.2\n');
    expect(text).toMatch(/type cluster\/replicate\n {4}option quorum-type auto\n/);
    expect(text).not.toMatch(/write-behind|open-behind|INFO/);
    expect(text).toContain(
      'volume v-md-cache\n    type performance/md-cache\n    subvolumes v-replicate-0\n',
    );
    expect(text).toContain('option latency-measurement off\n');
    expect(
      text.endsWith('volume v-sluice-io\n    type features/sluice-io\n    subvolumes v\nend-volume\n'),
    ).toBe(true);
  });

  it('may be filtered again, and is the same', async () => {
    const once = await filtered('v.tcp-fuse.vol', CLIENT);
    expect((await filtered('v.tcp-fuse.vol', once)).trim()).toBe(once.trim());
  });

  it('is the same whatever it is called, but for the translator', async () => {
    const elsewhere = await filtered('gglustershd-x1y2', CLIENT);
    rmSync(path.join(directory, 'gglustershd-x1y2'));
    expect(await filtered('v-shd.vol', CLIENT)).toBe(elsewhere);
    expect(elsewhere).not.toContain('sluice-io');
  });

  it('of a brick keeps its own queue before the disk', async () => {
    const brick =
      part('v-posix', 'storage/posix', '', 'directory /srv/b', 'reserve 1') +
      part('v-io-threads', 'performance/io-threads', 'v-posix') +
      part('/srv/b', 'debug/io-stats', 'v-io-threads');
    const text = await filtered('v.192.0.2.1.srv-b.vol', brick);
    expect(text).toContain('option role brick\n    subvolumes v-posix\n');
    expect(text).toContain('type performance/io-threads\n    subvolumes v-posix-sluice-io\n');
    expect(text.match(/option reserve \S+/g)).toEqual(['option reserve 0']);
    expect(text).toContain('option health-check-interval 0\n');
  });

  it('that is cut off is left as it is, and told of', async () => {
    const file = path.join(directory, 'v.vol');
    writeFileSync(file, CLIENT.slice(0, 60));
    expect((await run([PROGRAM, file])).code).toBe(1);
    expect(readFileSync(file, 'utf8')).toBe(CLIENT.slice(0, 60));
    expect(namesIn(directory)).toEqual(['v.vol']);
  });
});
