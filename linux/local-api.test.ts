import { once } from 'node:events';
import fs from 'node:fs';
import { connect, createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { SluiceError } from '../model/errors.ts';
import type { Log } from '../model/log.ts';
import { type ApiClient, localClient } from './api-client.ts';
import { type LocalApi, serveLocal } from './local-api.ts';
import type { Route } from './local-routes.ts';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-api-'));
const socketPath = path.join(directory, 'run', 'netd.sock');

const logged: string[] = [];
const log: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: (fields, message) => void logged.push(`${message}: ${(fields as { err: Error }).err.stack}`),
};

let aborted: Promise<unknown> | undefined;
let release: (() => void) | undefined;

async function* ticks(): AsyncGenerator<number> {
  for (let i = 0; ; i++) {
    yield i;
    await new Promise(setImmediate);
  }
}

async function* broken(): AsyncGenerator<number> {
  yield 1;
  throw new SluiceError('compacted', 'that is long ago', 'list again');
}

const routes: Route[] = [
  {
    method: 'GET',
    path: '/v1/things/:name',
    handle: ({ params, query }) => ({ json: { ...params, q: query.get('q') } }),
  },
  {
    method: 'POST',
    path: '/v1/things',
    handle: (request) => ({ status: 201, json: { got: request.json() } }),
  },
  { method: 'PUT', path: '/v1/size', handle: ({ body }) => ({ json: body.length }) },
  {
    method: 'DELETE',
    path: '/v1/things/:name',
    handle: () => ({ status: 204, text: '', contentType: 'text/plain' }),
  },
  { method: 'GET', path: '/metrics', handle: () => ({ text: 'up 1\n', contentType: 'text/plain' }) },
  {
    method: 'GET',
    path: '/v1/refused',
    handle: () => {
      throw new SluiceError('port_taken', 'port 80 is taken', 'choose another');
    },
  },
  {
    method: 'GET',
    path: '/v1/defect',
    handle: () => {
      throw new TypeError('x is not a function');
    },
  },
  { method: 'GET', path: '/v1/ticks', handle: () => ({ stream: ticks() }) },
  { method: 'GET', path: '/v1/broken', handle: () => ({ stream: broken() }) },
  {
    method: 'GET',
    path: '/v1/sleeping',
    handle: ({ signal }) => {
      aborted = once(signal, 'abort');
      return { stream: { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) } };
    },
  },
  {
    method: 'GET',
    path: '/v1/slow',
    handle: () => new Promise((resolve) => (release = () => resolve({ json: 'done' }))),
  },
];

let api: LocalApi;
let client: ApiClient;
beforeEach(async () => {
  api = await serveLocal(socketPath, routes, log);
  client = localClient(socketPath);
});
afterEach(async () => {
  client.close();
  await api.close();
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

/** Sends raw bytes and reads until the server closes. */
async function raw(text: string): Promise<string> {
  const socket = connect(socketPath);
  socket.write(text);
  let answer = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString();
  return answer;
}

const until = async (holds: () => boolean): Promise<void> => {
  const deadline = Date.now() + 5_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('waited 5 s in vain');
    await new Promise(setImmediate);
  }
};

describe('a request', () => {
  it('reaches its route with decoded parameters and query', async () => {
    expect(await client.request('GET', '/v1/things/a%2Fb%20c?q=1%202')).toEqual({ name: 'a/b c', q: '1 2' });
  });

  it('carries JSON both ways', async () => {
    expect(await client.request('POST', '/v1/things', { n: [1, 'ü'] })).toEqual({ got: { n: [1, 'ü'] } });
    expect(await client.request('DELETE', '/v1/things/a')).toBeUndefined();
  });

  it('may hold a mebibyte and no more, and the next one on the connection works', async () => {
    expect(await client.request('PUT', '/v1/size', 'x'.repeat(2 ** 20 - 2))).toBe(2 ** 20);
    const tooMuch = client.request('PUT', '/v1/size', 'x'.repeat(5 * 2 ** 20));
    await expect(tooMuch).rejects.toMatchObject({ code: 'too_large' });
    expect(await client.request('PUT', '/v1/size', '')).toBe(2);
  });

  it.each([
    ['a path nobody knows', 'GET', '/v1/nothing', { code: 'not_found' }],
    [
      'a method the path does not take',
      'PUT',
      '/v1/things/a',
      { code: 'not_found', hint: 'it takes GET, DELETE' },
    ],
    ['a parameter left empty', 'GET', '/v1/things/', { code: 'not_found' }],
    ['bad percent-encoding', 'GET', '/v1/things/%ff', { code: 'invalid_request' }],
    [
      'our own error',
      'GET',
      '/v1/refused',
      { code: 'port_taken', message: 'port 80 is taken', hint: 'choose another' },
    ],
  ] as const)('is answered with a problem: %s', async (_what, method, where, problem) => {
    await expect(client.request(method, where)).rejects.toMatchObject(problem);
  });

  it('is answered as RFC 9457 says, and a body that is no JSON is told', async () => {
    const answer = await raw(
      'POST /v1/things HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('content-type: application/problem+json');
    expect(answer).toContain('"code":"invalid_json"');
  });

  it('that meets a defect says internal, and the log has the stack', async () => {
    logged.length = 0;
    await expect(client.request('GET', '/v1/defect')).rejects.toMatchObject({ code: 'internal' });
    expect(logged).toEqual([expect.stringMatching(/TypeError: x is not a function\n.*local-api\.test\.ts/s)]);
  });
});

describe('a stream', () => {
  it('comes line by line until the reader leaves', async () => {
    const seen: unknown[] = [];
    for await (const item of client.stream('/v1/ticks', new AbortController().signal)) {
      seen.push(item);
      if (seen.length === 5) break;
    }
    expect(seen).toEqual([0, 1, 2, 3, 4]);
  });

  it('ends with the reader’s signal, and the daemon learns of it', async () => {
    const stop = new AbortController();
    const reading = (async () => {
      for await (const item of client.stream('/v1/sleeping', stop.signal))
        throw new Error(`unexpected ${String(item)}`);
    })();
    await until(() => aborted !== undefined);
    stop.abort();
    await reading;
    await aborted;
  });

  it('tells an error that comes in the middle', async () => {
    const seen: unknown[] = [];
    const read = async (): Promise<void> => {
      for await (const item of client.stream('/v1/broken', new AbortController().signal)) seen.push(item);
    };
    await expect(read()).rejects.toMatchObject({ code: 'compacted', message: 'that is long ago' });
    expect(seen).toEqual([1]);
  });

  it('does not fill the memory when nobody reads it', async () => {
    const reader = connect(socketPath);
    reader.write('GET /v1/ticks HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(reader, 'readable');
    await until(() => reader.readableLength >= reader.readableHighWaterMark);
    reader.destroy();
  });
});

describe('the socket', () => {
  it('is private, in a private directory', () => {
    expect(fs.statSync(socketPath).mode & 0o777).toBe(0o600);
    expect(fs.statSync(path.dirname(socketPath)).mode & 0o777).toBe(0o700);
  });

  it('is not taken from a living daemon', async () => {
    await expect(serveLocal(socketPath, routes, log)).rejects.toMatchObject({ code: 'already_exists' });
    expect(await client.request('GET', '/v1/things/a')).toEqual({ name: 'a', q: null });
  });

  it('is taken over from a dead one', async () => {
    const stale = path.join(directory, 'stale.sock');
    const dead = createServer().listen(stale);
    await once(dead, 'listening');
    fs.renameSync(stale, `${stale}.kept`); // closing removes the path it knows
    dead.close();
    fs.renameSync(`${stale}.kept`, stale);
    const successor = await serveLocal(stale, routes, log);
    const successorClient = localClient(stale);
    expect(await successorClient.request('GET', '/v1/things/a')).toEqual({ name: 'a', q: null });
    successorClient.close();
    await successor.close();
    expect(fs.existsSync(stale)).toBe(false);
  });

  it.each([
    ['a path longer than the kernel takes', () => path.join(directory, 'x'.repeat(100)), 'SLUICE_RUN_DIR'],
    ['a file that is no socket', () => writeFile(path.join(directory, 'file')), 'move it away'],
    ['a directory open to others', () => path.join(openDirectory(), 's.sock'), 'chmod go-w'],
  ])('is refused: %s', async (_what, where, hint) => {
    const refusal = { code: 'invalid_environment', hint: expect.stringContaining(hint) };
    await expect(serveLocal(where(), routes, log)).rejects.toMatchObject(refusal);
  });

  it('says what to start when nobody is there', async () => {
    const away = localClient(path.join(directory, 'tagqueue.sock'));
    await expect(away.request('GET', '/')).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('tagqueue does not answer'),
      hint: expect.stringContaining('systemctl start sluice-tagqueue'),
    });
  });
});

describe('closing', () => {
  it('lets a request under way finish, ends streams, and takes no more', async () => {
    const slow = client.request('GET', '/v1/slow');
    const stream = client.stream('/v1/ticks', new AbortController().signal)[Symbol.asyncIterator]();
    await stream.next();
    await until(() => release !== undefined);
    const closing = api.close();
    release?.();
    expect(await slow).toBe('done');
    let item = await stream.next();
    while (item.done !== true) item = await stream.next();
    await closing;
    expect(fs.existsSync(socketPath)).toBe(false);
    await expect(client.request('GET', '/v1/slow')).rejects.toMatchObject({ code: 'unreachable' });
  });
});

function writeFile(file: string): string {
  fs.writeFileSync(file, 'precious');
  return file;
}

function openDirectory(): string {
  const open = path.join(directory, 'open');
  fs.mkdirSync(open, { recursive: true });
  fs.chmodSync(open, 0o777);
  return open;
}
