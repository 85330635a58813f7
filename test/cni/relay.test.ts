/** The relay as a black box: what it carries between a runtime and netd, and to which netd. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { readRelayedCall } from '../../cni/relay.ts';
import { ADD, buildRelay, confOf, errorOf, fakeNetd, type Outcome, run, scratch } from './relay-process.ts';

const MEBIBYTE = 1024 * 1024;

const place = scratch();
let relay = '';
beforeAll(() => {
  relay = buildRelay(place.path);
});
afterAll(() => place[Symbol.dispose]());

describe('the relay and netd', () => {
  it('carries input, variables and answer, byte for byte', async () => {
    const answer = JSON.stringify({ cniVersion: '1.0.0', dns: { search: ['ü "\\'] } });
    await using netd = await fakeNetd((response) => response.end(answer));
    const env = {
      ...ADD,
      CNI_ARGS: 'IgnoreUnknown=1;X=% +\r\nEvil: 1;Y=ü✓😀',
      CNI_PATH: '/opt/cni/bin:/usr/lib/cni',
      CNI_NETNS: '/run/netns/no such',
      CNI_NETNS_OVERRIDE: '',
    };
    const input = confOf(netd.runDir, { note: 'ü\u0000😀' });
    expect(await run([relay], { ...env, CNI_FOREIGN: 'x', LD_PRELOAD: '' }, input)).toEqual({
      exit: 0,
      stdout: answer,
      stderr: '',
    });

    expect(netd.seen).toHaveLength(1);
    const [{ method, url, headers, body }] = netd.seen as [(typeof netd.seen)[0]];
    expect(`${method} ${url} ${headers.connection}`).toBe('POST /cni close');
    expect(readRelayedCall(headers, body)).toEqual({ env, stdin: input, netns: null });
    expect(headers).not.toHaveProperty('evil');
    expect(JSON.stringify(headers)).not.toMatch(/foreign/i);
  });

  it('leaves out the variables that are not set', async () => {
    await using netd = await fakeNetd((response) => response.end());
    await run([relay], { CNI_COMMAND: 'STATUS', SLUICE_RUN_DIR: netd.runDir });
    expect(readRelayedCall(netd.seen[0]!.headers, netd.seen[0]!.body).env).toEqual({ CNI_COMMAND: 'STATUS' });
  });

  it("exits with 1 on any status but 200, with netd's error as it came", async () => {
    const error = '{"cniVersion":"1.0.0","code":100,"msg":"there is no tenant x","details":"create it"}';
    await using netd = await fakeNetd((response) => response.writeHead(404).end(error));
    expect(await run([relay], ADD, confOf(netd.runDir))).toEqual({ exit: 1, stdout: error, stderr: '' });
  });

  it('takes an answer without a body, as DEL has it', async () => {
    await using netd = await fakeNetd((response) => response.end());
    expect(await run([relay], { ...ADD, CNI_COMMAND: 'DEL' }, confOf(netd.runDir))).toEqual({
      exit: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('takes an answer in chunks', async () => {
    const parts = Array.from({ length: 40 }, (_, i) => `{"part":${i},"x":"${'y'.repeat(i * 997)}"}`);
    await using netd = await fakeNetd((response) => {
      for (const part of parts) response.write(part);
      response.end();
    });
    expect((await run([relay], ADD, confOf(netd.runDir))).stdout).toBe(parts.join(''));
  });

  it('carries 1 MiB in, and more than that out', async () => {
    await using netd = await fakeNetd((response, { body }) => response.end(`{"twice":"${body}${body}"}`));
    const shell = confOf(netd.runDir, { pad: '' });
    const input = shell.replace('"pad":""', `"pad":"${'p'.repeat(MEBIBYTE - shell.length)}"`);
    expect(input).toHaveLength(MEBIBYTE);
    expect((await run([relay], ADD, input)).stdout).toBe(`{"twice":"${input}${input}"}`);
  });

  it('reads a refusal that comes before everything was sent', async () => {
    const error = '{"code":7,"msg":"too much","details":""}';
    using directory = scratch();
    const peers: Socket[] = [];
    await using server = createServer((socket) => {
      peers.push(socket.on('error', () => undefined));
      socket.write(`HTTP/1.1 413 Content Too Large\r\nContent-Length: ${error.length}\r\n\r\n${error}`);
    }).listen(join(directory.path, 'netd.sock'));
    await once(server, 'listening');
    const input = confOf(directory.path, { pad: 'p'.repeat(900_000) });
    expect(await run([relay], ADD, input)).toMatchObject({ exit: 1, stdout: error });
    for (const peer of peers) peer.destroy();
  });
});

describe('which netd', () => {
  const answered = async (inConf: (dir: string) => string): Promise<[string, Outcome]> => {
    await using ofConf = await fakeNetd((response) => response.end('"conf"'));
    await using ofEnv = await fakeNetd((response) => response.end('"env"'));
    const outcome = await run([relay], { ...ADD, SLUICE_RUN_DIR: ofEnv.runDir }, inConf(ofConf.runDir));
    return [outcome.stdout, outcome];
  };

  const rows: [string, (dir: string) => string, 'conf' | 'env'][] = [
    ['runDir of the configuration', (dir) => confOf(dir), 'conf'],
    [
      'runDir with escapes, after other things',
      (dir) => `{"a":[{"b":"}"}],"run\\u0044ir":"${dir.replaceAll('/', '\\/')}"}`,
      'conf',
    ],
    ['the last runDir of two', (dir) => `{"runDir":"/nowhere","runDir":"${dir}"}`, 'conf'],
    ['SLUICE_RUN_DIR without one', () => '{"cniVersion":"1.0.0"}', 'env'],
    ['SLUICE_RUN_DIR with an empty one', () => '{"runDir":""}', 'env'],
    ['SLUICE_RUN_DIR with one that is no string', () => '{"runDir":["/nowhere"]}', 'env'],
    ['SLUICE_RUN_DIR with one further down', () => '{"x":{"runDir":"/nowhere"}}', 'env'],
    ['SLUICE_RUN_DIR with one that holds NUL', () => '{"runDir":"/nowhere\\u0000"}', 'env'],
    ['SLUICE_RUN_DIR for an array', () => '["runDir","/nowhere"]', 'env'],
    ['SLUICE_RUN_DIR for broken JSON: netd reports it', (dir) => `{"runDir":"${dir}",}`, 'env'],
    ['SLUICE_RUN_DIR for JSON with a tail', (dir) => `{"runDir":"${dir}"} x`, 'env'],
    ['SLUICE_RUN_DIR for no input', () => '', 'env'],
  ];
  it.each(rows)('%s', async (_, text, expected) => {
    expect((await answered(text))[0]).toBe(`"${expected}"`);
  });

  it.each(['run/sluice', '.', `/${'d'.repeat(97)}`])('refuses the runDir %s', async (dir) => {
    expect(errorOf(await run([relay], ADD, confOf(dir)))).toMatchObject({
      code: 7,
      msg: expect.stringContaining('runDir'),
    });
  });
});
