/** What the relay answers itself, strange processes, and the namespace it holds open. Needs root. */
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readRelayedCall } from '../../cni/relay.ts';
import { CNI_VERSIONS, versionResult } from '../../cni/version.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { ADD, buildRelay, confOf, errorOf, fakeNetd, run, scratch } from './relay-process.ts';

const MEBIBYTE = 1024 * 1024;

const place = scratch();
let relay = '';
beforeAll(() => {
  relay = buildRelay(place.path);
});
afterAll(() => place[Symbol.dispose]());

describe('what the relay answers itself', () => {
  it('says what it is to a person who types its name', async () => {
    const stderr = [
      `CNI plugin sluice-cni v${packageJson.version}\n`,
      `CNI protocol versions supported: ${CNI_VERSIONS.join(', ')}\n`,
    ];
    expect(await run([relay], {})).toEqual({ exit: 0, stdout: '', stderr: stderr.join('') });
  });

  it.each(['0.4.0', '1.0.0', '9.9.9'])(
    'answers VERSION about %s without netd, as version.ts would',
    async (version) => {
      const { exit, stdout } = await run(
        [relay],
        { CNI_COMMAND: 'VERSION' },
        JSON.stringify({ cniVersion: version }),
      );
      expect({ exit, answer: JSON.parse(stdout) }).toEqual({ exit: 0, answer: versionResult(version) });
    },
  );

  it('refuses more than 1 MiB, and asks nobody', async () => {
    await using netd = await fakeNetd((response) => response.end());
    const outcome = await run([relay], { ...ADD, SLUICE_RUN_DIR: netd.runDir }, ' '.repeat(MEBIBYTE + 1));
    expect(errorOf(outcome)).toMatchObject({ code: 6, msg: expect.stringContaining('1 MiB') });
    expect(netd.seen).toEqual([]);
  });

  it.each(['CNI_ARGS', 'CNI_CONTAINERID', 'CNI_NETNS'])('refuses a %s of 64 KiB', async (name) => {
    await using netd = await fakeNetd((response) => response.end());
    const outcome = await run([relay], { ...ADD, [name]: 'x'.repeat(65_536) }, confOf(netd.runDir));
    expect(errorOf(outcome)).toMatchObject({ code: 4, msg: expect.stringContaining(name) });
    expect(netd.seen).toEqual([]);
  });

  it('writes valid JSON whatever is in it', async () => {
    const outcome = await run(
      [relay],
      ADD,
      JSON.stringify({ cniVersion: 'a"\\\n\u0001ü', runDir: '/no"\\\n\tü😀' }),
    );
    expect(errorOf(outcome)).toMatchObject({
      cniVersion: 'a"\\\n\u0001ü',
      msg: expect.stringContaining('/no"\\\n\tü😀/netd.sock'),
    });
    const bytes = Buffer.concat([
      Buffer.from('{"runDir":"/no'),
      Buffer.of(0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80),
      Buffer.from('"}'),
    ]);
    expect(errorOf(await run([relay], ADD, bytes)).msg).toContain('/no??(???/netd.sock');
  });
});

describe('a strange process', () => {
  const shell = (script: string): string[] => ['sh', '-c', script, 'sh', relay];

  it('without standard input: netd gets an empty one', async () => {
    await using netd = await fakeNetd((response) => response.end('{}'));
    const env = { ...ADD, SLUICE_RUN_DIR: netd.runDir };
    expect(await run(shell('exec "$1" <&-'), env)).toMatchObject({ exit: 0, stdout: '{}' });
    expect(netd.seen[0]!.body).toHaveLength(0);
  });

  it('without any standard descriptor: the socket does not take their place', async () => {
    await using netd = await fakeNetd((response) => response.end('{}'));
    const env = { ...ADD, SLUICE_RUN_DIR: netd.runDir };
    expect(await run(shell('exec "$1" <&- >&- 2>&-'), env)).toMatchObject({ exit: 0, stdout: '' });
    expect(netd.seen).toHaveLength(1);
  });

  it('with a directory for standard input', async () => {
    expect(errorOf(await run(shell('exec "$1" </'), ADD))).toMatchObject({ code: 5 });
  });

  it('with an input that never ends', async () => {
    const outcome = await run([relay], { ...ADD, SLUICE_CNI_TIMEOUT: '1' }, null);
    expect(errorOf(outcome)).toMatchObject({ code: 5, msg: expect.stringContaining('did not end in time') });
  });

  it('with a reader that is gone: it does not die of it, and does not claim success', async () => {
    await using netd = await fakeNetd((response) => response.end(`{"x":"${'y'.repeat(300_000)}"}`));
    const script = '{ "$1"; echo "exit $?" >&2; } | true';
    const outcome = await run(shell(script), { ...ADD, SLUICE_RUN_DIR: netd.runDir });
    expect(outcome.stderr).toBe('exit 1\n');
  });

  it('with bytes in its environment that are no text', async () => {
    await using netd = await fakeNetd((response) => response.end('{}'));
    await run(shell('CNI_ARGS=$(printf "A=\\377\\001") exec "$1"'), { ...ADD, SLUICE_RUN_DIR: netd.runDir });
    expect(netd.seen[0]!.headers['cni-args']).toBe('A%3D%FF%01');
  });
});

describe('the namespace of the container', () => {
  /** What a path leads to: file system and inode. */
  const identity = (path: string): string => {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  };

  /** Asks by way of `command`; tells what netd finds behind the handle, while the relay waits. */
  async function behindHandle(command: (relay: string) => string[], netns: string): Promise<string | null> {
    let found: string | null = null;
    await using netd = await fakeNetd((response, { headers, body }) => {
      const handle = readRelayedCall(headers, body).netns;
      if (handle !== null) found = identity(`/proc/${handle.pid}/fd/${handle.fd}`);
      response.end(`${found ?? 'null'}\n`);
    });
    const outcome = await run(command(relay), { ...ADD, CNI_NETNS: netns, SLUICE_RUN_DIR: netd.runDir });
    expect(outcome).toMatchObject({ exit: 0, stderr: '' });
    return found;
  }

  it('can be opened through the relay', async () => {
    expect(await behindHandle((it) => [it], '/proc/self/ns/net')).toBe(identity('/proc/self/ns/net'));
  });

  it('can be opened even where its path is a mount that only the runtime sees', async () => {
    const file = join(place.path, 'netns');
    writeFileSync(file, '');
    const script = 'mount --bind /proc/self/ns/net "$2" && exec "$1"';
    const found = await behindHandle(
      (it) => ['unshare', '--mount', '--net', '--propagation', 'private', 'sh', '-c', script, 'sh', it, file],
      file,
    );
    // Another namespace than ours, but one: of the same file system.
    expect(found).not.toBe(identity('/proc/self/ns/net'));
    expect(found?.split(':')[0]).toBe(identity('/proc/self/ns/net').split(':')[0]);
  });

  it.each(['/nowhere', ''])('has no handle where nothing can be opened: %j', async (netns) => {
    expect(await behindHandle((it) => [it], netns)).toBeNull();
  });

  it('does not hold the relay up when it is a FIFO', async () => {
    const fifo = join(place.path, 'fifo');
    await run(['mkfifo', fifo], {});
    expect(await behindHandle((it) => [it], fifo)).toBe(identity(fifo));
  });
});
