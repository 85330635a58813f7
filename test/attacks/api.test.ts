/** A18, as far as there is an API: others' objects, guessed tokens, huge bodies, slow clients. */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { ApiClient, Method } from '../../linux/api-client.ts';
import { nodeClient, operatorClient, registerNode } from '../../linux/join.ts';
import { bearerOf, parseToken } from '../../model/join.ts';
import type { NodeName } from '../../model/names.ts';
import { serverForEachTest, uplink } from '../server-world.ts';
import { line } from './attack.ts';
import { range } from './traffic.ts';

const world = serverForEachTest();
const A = 'a' as NodeName;
const B = 'b' as NodeName;

type Ask = readonly [method: Method, where: string, body?: unknown];

/** @returns those that were not refused with this code */
async function notRefused(client: ApiClient, asks: readonly Ask[], code: string): Promise<string[]> {
  const outcomes = asks.map(async ([method, where, body]) => {
    const outcome = await client.request(method, where, body).then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    return outcome === code ? [] : [`${method} ${where}: ${outcome}`];
  });
  return (await Promise.all(outcomes)).flat();
}

const JOINING = { node: 'x', uplinkAddress: '192.0.2.9', secret: 'A'.repeat(43) };
const READS: readonly Ask[] = [
  '/v1/tenants',
  '/v1/tenants/blue',
  '/v1/nodes',
  '/v1/nodes/a',
  '/v1/cluster',
  '/v1/cluster?watch=1',
  '/v1/namespaces',
  '/v1/plans',
  '/v1/limits',
  '/v1/limits/default',
  '/v1/switches',
  '/v1/status',
  '/metrics',
].map((where) => ['GET', where]);
const KEYS: readonly Ask[] = [
  ['GET', '/v1/keys'],
  ['GET', '/v1/keys?watch=1'],
];
const TOKENS: readonly Ask[] = [
  ['GET', '/v1/tokens'],
  ['POST', '/v1/tokens', { role: 'admin' }],
  ['DELETE', `/v1/tokens/${'0'.repeat(16)}`],
];
const TENANTS: readonly Ask[] = [
  ['POST', '/v1/tenants', { tenant: 'green' }],
  ['DELETE', '/v1/tenants/blue'],
  ['PUT', '/v1/namespaces/shop', { tenant: 'red' }],
  ['DELETE', '/v1/namespaces/shop'],
  ['PUT', '/v1/plans/blue', { tenant: 'blue', priority: -1_000 }],
  ['PUT', '/v1/limits/default', { container: { cpu: 0.01 } }],
];
const SWITCH = { select: {}, changes: { cpu: { do: 'lift' } }, forMs: 60_000, reason: 'mine', all: true };
const SWITCHES: readonly Ask[] = [
  ['POST', '/v1/switches', SWITCH],
  ['POST', '/v1/switches/plan', SWITCH],
  ['POST', '/v1/switches/sw-00000000/close', { reason: 'mine' }],
  ['POST', '/v1/switches/sw-00000000/approve', { reason: 'mine' }],
  ['POST', '/v1/switches/close-all', { reason: 'mine' }],
];
const NODES: readonly Ask[] = [
  ['PUT', '/v1/nodes/x', { uplinkAddress: '192.0.2.9' }],
  ['DELETE', '/v1/nodes/a'],
  ['POST', '/v1/nodes/join', JOINING],
];

const REPORT = {
  ...{ revision: 1, capacity: { cpu: 1, memory: 1, uplink: null }, whole: true },
  ...{ containers: [], gone: [], tenants: [] },
};
const OTHERS = {
  subject: {
    ...{ node: 'a', zone: null, tenant: 'blue', app: null, instance: null, containerId: 'x', ifName: 'eth0' },
    labels: {},
  },
  ...{ base: {}, effective: {}, switches: [], shortfalls: [], readAt: 0 },
};

describe("A18: others' objects", () => {
  const before = async (): Promise<unknown> => {
    const { snapshot } = (await world.root.request('GET', '/v1/cluster')) as { snapshot: unknown };
    return { snapshot, tokens: await world.root.request('GET', '/v1/tokens') };
  };

  beforeEach(async () => {
    await registerNode(world.root, A, uplink(1));
    await world.root.request('POST', '/v1/tenants', { tenant: 'blue' });
    await world.root.request('PUT', '/v1/namespaces/shop', { tenant: 'blue' });
  });

  it('A18: a join token can do nothing but join', async () => {
    const client = await world.asRole('node');
    const asks = [
      ...READS,
      ...KEYS,
      ...TOKENS,
      ...TENANTS,
      ...SWITCHES,
      ...NODES.slice(0, 2),
      ['GET', '/v1/audit'] as const,
    ];
    await unchanged('with a join token, everything else', client, asks, 'refused', before);
  });

  it('A18: an operator gets no keys, no tokens, no nodes', async () => {
    const client = await world.asRole('operator');
    await unchanged(
      'with an operator token: keys, tokens, nodes',
      client,
      [...KEYS, ...TOKENS, ...NODES],
      'refused',
      before,
    );
  });

  it('A18: a node cannot be another node, nor run tenants', async () => {
    const client = world.using(nodeClient(await world.join(B, 2)));
    const asks: Ask[] = [...TOKENS, ...TENANTS, ...SWITCHES, ...NODES.slice(1), ['GET', '/v1/audit']];
    await unchanged("with a node's token: tokens, tenants, other nodes", client, asks, 'refused', before);
    const taken: Ask[] = [
      ['PUT', '/v1/nodes/a', { uplinkAddress: '192.0.2.9' }],
      ['PUT', '/v1/nodes/x', { uplinkAddress: '192.0.2.9' }],
    ];
    await unchanged("with a node's token: another name", client, taken, 'already_exists', before);
  });

  it('A18: a tenant gets no other tenant’s limits, plans and switches, and changes not even its own', async () => {
    await world.root.request('POST', '/v1/tenants', { tenant: 'red' });
    const { token } = (await world.root.request('POST', '/v1/tokens', {
      ...{ role: 'tenant', tenant: 'red' },
    })) as { token: string };
    const client = world.using(operatorClient(world.address, token));
    const asks: Ask[] = [
      ...SWITCHES,
      ['GET', '/v1/plans'],
      ['GET', '/v1/plans/blue'],
      ['PUT', '/v1/plans/blue', { tenant: 'blue' }],
      ['PUT', '/v1/plans/red', { tenant: 'red', priority: 1_000 }],
      ['DELETE', '/v1/plans/red'],
      ['GET', '/v1/limits?tenant=blue'],
      ['GET', '/v1/limits/default'],
      ['PUT', '/v1/limits/default', {}],
      ['POST', '/v1/nodes/a/limits', { ...REPORT, node: 'a' }],
    ];
    await unchanged("with a tenant's token: limits, plans, switches", client, asks, 'refused', before);
  });

  it('A18: a node reports limits of itself alone', async () => {
    const client = world.using(nodeClient(await world.join(B, 2)));
    const asks: Ask[] = [
      ['POST', '/v1/nodes/a/limits', { ...REPORT, node: 'a' }],
      ['POST', '/v1/nodes/b/limits', { ...REPORT, node: 'a' }],
      ['POST', '/v1/nodes/b/limits', { ...REPORT, node: 'b', containers: [OTHERS] }],
    ];
    await unchanged("with a node's token: others' limits", client, asks, 'refused', before);
  });

  it("A18: a node reports on no other node's probe, and does not see it in what it follows", async () => {
    const client = world.using(nodeClient(await world.join(B, 2)));
    const make = { node: 'a', tenant: 'blue', ttlSeconds: 60 };
    const { id } = (await world.root.request('POST', '/v1/probes', make)) as { id: string };
    const status = { ready: false, internalAddress: null, externalAddress: null, error: 'b says so' };
    expect(await notRefused(client, [['PUT', `/v1/probes/${id}/status`, status]], 'refused')).toEqual([]);
    for (const where of ['/v1/cluster', '/v1/cluster?node=a']) {
      const { snapshot } = (await client.request('GET', where)) as { snapshot: { probes: unknown[] } };
      expect(snapshot.probes).toEqual([]);
    }
    line('A18', "another node's probe: by id, by list, by asking for it", 3, 3);
  });
});

async function unchanged(
  what: string,
  client: ApiClient,
  asks: readonly Ask[],
  code: string,
  picture: () => Promise<unknown>,
): Promise<void> {
  const before = await picture();
  const done = await notRefused(client, asks, code);
  line('A18', what, asks.length, asks.length - done.length);
  expect(done).toEqual([]);
  expect(await picture()).toEqual(before);
}

/** A connection to the server's door, with nothing said yet. */
async function dial(): Promise<TLSSocket> {
  const [host, port] = world.address.split(':');
  const socket = connect({ host: host!, port: Number(port), rejectUnauthorized: false });
  socket.on('error', () => undefined); // being cut off is what is expected
  await once(socket, 'secureConnect');
  return socket;
}

/** However it ends, by being reset too. */
function closeOf(socket: TLSSocket): Promise<void> {
  return new Promise((resolve) => void socket.once('close', () => resolve()));
}

/** Sends these bytes, and reads until the server closes. */
async function say(text: string): Promise<string> {
  const socket = await dial();
  const closed = closeOf(socket);
  let answer = '';
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString();
  });
  socket.write(text);
  await closed;
  return answer;
}

const ask = (bearer: string, more = ''): string =>
  `GET /v1/tenants HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${bearer}\r\n${more}\r\n`;
const withoutDate = (answer: string): string => answer.replace(/^date:.*\r\n/im, '');

describe('A18: token guessing', () => {
  it('A18: every wrong token gets the same answer, whatever of it is right', async () => {
    const token = parseToken((await world.createToken('admin')).token);
    const right = bearerOf(token);
    expect(await say(ask(right))).toMatch(/^HTTP\/1.1 200/);
    const { id, secret } = token;
    const other = (text: string, at: number): string =>
      text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
    const guesses = [
      // The last character holds two bits that are no part of the 256.
      ...range(secret.length - 1, (at) => `${id}.${other(secret, at)}`),
      ...range(
        id.length,
        (at) => `${id.slice(0, at)}${id[at] === '0' ? '1' : '0'}${id.slice(at + 1)}.${secret}`,
      ),
      ...[
        '',
        '.',
        id,
        `${id}.`,
        `.${secret}`,
        `${id}.${secret.toLowerCase()}`,
        `${id}.${secret}=`,
        `${id}.${secret.slice(1)}`,
        `${right}.x`.replace('.x', 'x'),
      ],
      ...[
        'null',
        'undefined',
        'root',
        'admin',
        '../../keys/cluster',
        '__proto__',
        '*',
        `${id}%00.${secret}`,
        `${'0'.repeat(16)}.${'A'.repeat(43)}`,
      ],
    ];
    const answers = await inTurns(guesses.map((guess) => () => say(ask(guess))));
    const entered = answers.filter((answer) => !answer.startsWith('HTTP/1.1 401'));
    line(
      'A18',
      'tokens wrong in one place, cut, grown, or made up',
      guesses.length,
      guesses.length - entered.length,
    );
    expect(entered).toEqual([]);
    expect(new Set(answers.map(withoutDate)).size).toBe(1);
  });
});

/** Eight at a time. */
async function inTurns<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < tasks.length; i += 8)
    results.push(...(await Promise.all(tasks.slice(i, i + 8).map((task) => task()))));
  return results;
}

const post = (bearer: string, headers: string): string =>
  `POST /v1/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${bearer}\r\ncontent-type: application/json\r\n${headers}\r\n`;

describe('A18: huge requests', () => {
  /** Sends without end, and counts what the server took until it closed. */
  async function flood(
    head: string,
    chunk: Buffer,
  ): Promise<{ readonly answer: string; readonly bytes: number }> {
    const socket = await dial();
    let answer = '';
    let bytes = 0;
    socket.on('data', (data: Buffer) => {
      answer += data.toString();
    });
    const closed = closeOf(socket);
    socket.write(head);
    while (!socket.destroyed && bytes < 256 * 2 ** 20) {
      bytes += chunk.length;
      if (!socket.write(chunk)) await Promise.race([once(socket, 'drain').catch(() => undefined), closed]);
      if (answer !== '') socket.destroy();
    }
    await closed;
    return { answer, bytes };
  }

  it('A18: bodies that never end, declared or not, with a token or without', async () => {
    const bearer = bearerOf(parseToken((await world.createToken('admin')).token));
    const payload = Buffer.alloc(65_536, 0x20);
    const piece = Buffer.concat([Buffer.from('10000\r\n'), payload, Buffer.from('\r\n')]);
    const before = process.memoryUsage().rss;
    const outcomes = [
      await flood(post(bearer, `content-length: ${2 ** 40}\r\n`), payload),
      await flood(post(bearer, 'transfer-encoding: chunked\r\n'), piece),
      await flood(post('x.y', `content-length: ${2 ** 40}\r\n`), payload),
      await flood(post('x.y', 'transfer-encoding: chunked\r\n'), piece),
    ];
    line(
      'A18',
      'bodies without end',
      outcomes.length,
      outcomes.filter(({ answer }) => /^HTTP\/1.1 4(01|13)/.test(answer)).length,
    );
    expect(outcomes.map(({ answer }) => answer.slice(0, 12))).toEqual([
      'HTTP/1.1 413',
      'HTTP/1.1 413',
      'HTTP/1.1 401',
      'HTTP/1.1 401',
    ]);
    for (const { bytes } of outcomes) expect(bytes).toBeLessThan(64 * 2 ** 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 2 ** 20);
  });

  it('A18: heads that are too large, and requests smuggled behind a length that lies', async () => {
    const bearer = bearerOf(parseToken((await world.createToken('admin')).token));
    const smuggled = `POST /v1/tenants HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${bearer}\r\ncontent-length: 2\r\n\r\n{}`;
    const attempts = [
      ask(bearer, `x-large: ${'x'.repeat(100_000)}\r\n`),
      ask(bearer, range(5_000, (i) => `x-${i}: y\r\n`).join('')),
      `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      `${post(bearer, 'content-length: 5\r\ntransfer-encoding: chunked\r\n')}0\r\n\r\n${smuggled}`,
      post(bearer, 'content-length: 5\r\ncontent-length: 50\r\n') + smuggled,
      post(bearer, 'transfer-encoding: xchunked\r\n') + smuggled,
      'GET /v1/tenants HTTP/1.1\r\n host: x\r\n\r\n',
      'GET http://169.254.169.254/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
      'CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: x\r\n\r\n',
    ];
    const answers = await inTurns(attempts.map((attempt) => () => say(attempt)));
    const accepted = answers.filter((answer) => /^HTTP\/1.1 [23]/m.test(answer));
    line(
      'A18',
      'heads too large, lengths that lie, requests for other hosts',
      attempts.length,
      attempts.length - accepted.length,
    );
    expect(accepted).toEqual([]);
    expect(await world.root.request('GET', '/v1/tenants')).toEqual({ items: [], next: null });
  });
});

describe('A18: slow clients', () => {
  const CROWD = 100;
  /** The server gives a request ten seconds and looks once a second. */
  const PATIENCE_MS = 20_000;

  it('A18: two hundred that never finish keep nobody out, and are shown the door', async () => {
    const bearer = bearerOf(parseToken((await world.createToken('admin')).token));
    const inHead = await crowd('GET /v1/tenants HTTP/1.1\r\nhost: x\r\nx-slow: ');
    const inBody = await crowd(`${post(bearer, 'content-length: 100\r\n')}{`);
    const drip = setInterval(() => {
      for (const socket of inHead.sockets) socket.write('y');
    }, 500);
    try {
      expect(await say(ask(bearer))).toMatch(/^HTTP\/1.1 200/);
      const went = await Promise.all([inHead, inBody].map(({ gone }) => within(gone, PATIENCE_MS)));
      line('A18', 'clients that never finish what they say', 2 * CROWD, went.every(Boolean) ? 2 * CROWD : 0);
      expect(went).toEqual([true, true]);
      expect(await say(ask(bearer))).toMatch(/^HTTP\/1.1 200/);
    } finally {
      clearInterval(drip);
    }
  }, 60_000);

  async function crowd(
    text: string,
  ): Promise<{ readonly sockets: TLSSocket[]; readonly gone: Promise<unknown> }> {
    const sockets = await inTurns(range(CROWD, () => dial));
    for (const socket of sockets) {
      socket.resume();
      socket.write(text);
    }
    return { sockets, gone: Promise.all(sockets.map((socket) => closeOf(socket))) };
  }
});

/** @returns whether it came about in time */
function within(event: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void event.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
