/** The relay while netd is away, silent, or not netd: a clear error within a bounded time. Needs root. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { ADD, buildRelay, confOf, errorOf, fakeNetd, run, scratch } from './relay-process.ts';

const place = scratch();
let relay = '';
beforeAll(() => {
  relay = buildRelay(place.path);
});
afterAll(() => place[Symbol.dispose]());

describe('netd away', () => {
  const despair = { details: expect.stringMatching(/systemctl start sluice-netd.*sluice up/) };

  it('and no socket: try again, with the socket and what to start', async () => {
    using directory = scratch();
    expect(errorOf(await run([relay], ADD, confOf(directory.path)))).toMatchObject({
      ...despair,
      cniVersion: '1.0.0',
      code: 11,
      msg: expect.stringContaining(`${directory.path}/netd.sock is away`),
    });
  });

  it('is "not available" to STATUS, by the specification', async () => {
    using directory = scratch();
    const env = { CNI_COMMAND: 'STATUS', SLUICE_RUN_DIR: directory.path };
    expect(errorOf(await run([relay], env, '{'))).toMatchObject({
      ...despair,
      cniVersion: '1.1.0',
      code: 50,
    });
  });

  it('and its socket left behind', async () => {
    using directory = scratch();
    writeFileSync(join(directory.path, 'netd.sock'), '');
    expect(errorOf(await run([relay], ADD, confOf(directory.path)))).toMatchObject({ ...despair, code: 11 });
  });

  it('and the caller without the right to ask it', async () => {
    await using netd = await fakeNetd((response) => response.end());
    chmodSync(place.path, 0o755);
    chmodSync(netd.runDir, 0o700);
    const outcome = await run([relay], ADD, confOf(netd.runDir), { uid: 65_534 });
    expect(errorOf(outcome)).toMatchObject({ code: 11, msg: expect.stringContaining('Permission denied') });
  });

  it('silent: the wait has an end', async () => {
    await using netd = await fakeNetd(() => undefined);
    const outcome = await run([relay], { ...ADD, SLUICE_CNI_TIMEOUT: '1' }, confOf(netd.runDir));
    expect(errorOf(outcome)).toMatchObject({
      ...despair,
      code: 11,
      msg: expect.stringContaining('did not answer in time'),
    });
  });

  it('stopped, with a full queue before its door: the wait has an end', async () => {
    using directory = scratch();
    const path = join(directory.path, 'netd.sock');
    const script = `require('net').createServer().listen({path:${JSON.stringify(path)},backlog:1},()=>console.log('up'))`;
    const server = spawn(process.execPath, ['-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(server.stdout!, 'data');
    server.kill('SIGSTOP');
    const waiting = [0, 1, 2].map((): Socket => connect(path).on('error', () => undefined));
    try {
      const outcome = await run([relay], { ...ADD, SLUICE_CNI_TIMEOUT: '1' }, confOf(directory.path));
      expect(errorOf(outcome)).toMatchObject({ ...despair, code: 11 });
    } finally {
      for (const socket of waiting) socket.destroy();
      server.kill('SIGKILL');
    }
  });

  const answers: [string, string, RegExp][] = [
    ['cut in the body', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"cni', /cut/],
    ['cut in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"cni', /cut/],
    ['cut between chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n', /cut/],
    ['cut in the head', 'HTTP/1.1 200 OK\r\nContent-Le', /cut/],
    ['empty', '', /cut/],
    ['without a length, so that a cut would not be seen', 'HTTP/1.1 200 OK\r\n\r\n{}', /another program/],
    ['with a length below zero', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}', /another program/],
    [
      'with chunks that do not end where they say',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n',
      /another program/,
    ],
    ['of another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n', /another program/],
    [
      'of another web server',
      'HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found',
      /without a reason/,
    ],
  ];
  it.each(answers)('an answer %s is an error, never a result', async (_, text, message) => {
    using directory = scratch();
    await using server = createServer((socket) => socket.once('data', () => socket.end(text)));
    server.listen(join(directory.path, 'netd.sock'));
    await once(server, 'listening');
    const outcome = await run([relay], ADD, confOf(directory.path));
    expect(errorOf(outcome)).toMatchObject({ ...despair, code: 11, msg: expect.stringMatching(message) });
  });
});
