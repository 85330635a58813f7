/** A12 and A16, as far as there is an API: another tenant's volumes by every route, hostile names, nodes that lie. */
import type { ApiClient, Method } from '../../linux/api-client.ts';
import { GIB } from '../support/storage-node.ts';
import { volumesForEachTest, WISH } from '../support/volume-world.ts';
import { line } from './attack.ts';

type Ask = readonly [method: Method, where: string, body?: unknown];

const volumes = volumesForEachTest(['a', 'b']);
const { world, create, node, list } = volumes;

async function outcomeOf(
  client: ApiClient,
  [method, where, body]: Ask,
): Promise<{ code: string; text: string }> {
  return client.request(method, where, body).then(
    (answer) => ({ code: 'done', text: JSON.stringify(answer) }),
    (error: { code: string; message: string; hint: string }) => ({
      code: error.code,
      text: `${error.message} ${error.hint}`,
    }),
  );
}

/** Everything that could have changed; the audit log has a line for each change. */
async function picture(): Promise<unknown> {
  const { snapshot } = (await world.root.request('GET', '/v1/cluster')) as { snapshot: unknown };
  const { items } = (await world.root.request('GET', '/v1/audit?limit=1000')) as { items: unknown[] };
  return { snapshot, changes: items.length };
}

/** @param refused  whether an outcome is in order */
async function unchanged(
  id: string,
  what: string,
  client: ApiClient,
  asks: readonly Ask[],
  refused: (outcome: { code: string; text: string }, ask: Ask) => boolean,
): Promise<void> {
  const before = await picture();
  const bad: string[] = [];
  for (const ask of asks) {
    const outcome = await outcomeOf(client, ask);
    if (!refused(outcome, ask)) bad.push(`${ask[0]} ${ask[1].slice(0, 80)}: ${outcome.code} ${outcome.text}`);
  }
  line(id, what, asks.length, asks.length - bad.length);
  expect(bad).toEqual([]);
  expect(await picture()).toEqual(before);
}

/** Whatever can be asked of one volume. @param word  its id or its name @param query  without the question mark */
function everyRoute(word: string, query: string): Ask[] {
  const at = `/v1/volumes/${word}`;
  return [
    ['GET', `${at}?${query}`],
    ['GET', `${at}?waitMs=100&${query}`],
    ['POST', `${at}/resize?${query}`, { sizeBytes: 20 * GIB }],
    ['PUT', `${at}/limits?${query}`, { limits: { 'volume.read': 1_000_000 } }],
    ['DELETE', `${at}?${query}`],
    ['DELETE', `${at}?now=1&${query}`],
    ['POST', `${at}/undelete?${query}`],
    ['POST', `${at}/hosts?${query}`, { node: 'a' }],
  ];
}

describe("A16: another tenant's volumes", () => {
  it('A16: are not there for a tenant, whatever it asks, and look like those that never were', async () => {
    const { volume } = await create({ name: 'secrets' });
    await create({ name: 'mine', tenant: 'red' });
    const red = await volumes.tenantToken('red');
    const never = 'v000000000000';
    const byWord = [...everyRoute(volume.id, ''), ...everyRoute('secrets', '')];
    const named = ['tenant=blue', 'tenant=blue&all=1'].flatMap((query) => [
      ...everyRoute(volume.id, query.slice(0, 11)),
      ...everyRoute('secrets', query.slice(0, 11)),
      ['GET', `/v1/volumes?${query}`] as const,
    ]);
    const others: Ask[] = [
      ['POST', '/v1/volumes', { ...WISH, tenant: 'blue', name: 'mine' }],
      ['POST', '/v1/nodes/a/storage', node('a').picture()],
      ...['/v1/cluster', '/v1/cluster?watch=1', '/metrics', '/v1/audit', '/v1/nodes'].map(
        (where) => ['GET', where] as const,
      ),
    ];
    await unchanged(
      'A16',
      'with a tenant’s token: another’s volume by id and by name, every route',
      red,
      [...byWord, ...named, ...others],
      ({ code, text }) =>
        (code === 'not_found' || code === 'refused') &&
        !text.includes('GiB') &&
        !text.replaceAll(volume.id, '').includes('192.0.2'),
    );
    const words = async (word: string): Promise<string[]> =>
      Promise.all(
        everyRoute(word, '').map(async (ask) => {
          const { code, text } = await outcomeOf(red, ask);
          return `${code} ${text.replaceAll(word, 'IT')}`;
        }),
      );
    expect(await words(volume.id)).toEqual(await words(never));
    expect(await words('secrets')).toEqual(await words('nothing'));
    expect((await list('?all=1', red)).map((one) => one.volume.name)).toEqual(['mine']);
    expect((await list('?all=1&tenant=red', red)).map((one) => one.volume.name)).toEqual(['mine']);
  });

  it('A16: a node speaks of itself alone, and makes, changes and deletes nothing', async () => {
    const { volume } = await create();
    const a = volumes.clientOf('a');
    const picture = node('b').picture();
    const at = `/v1/volumes/${volume.id}`;
    const asks: Ask[] = [
      ['POST', '/v1/nodes/b/storage', picture],
      ['POST', '/v1/nodes/a/storage', picture],
      ['POST', '/v1/nodes/b/storage', { ...picture, node: 'a' }],
      // Its bricks at another node's place.
      ['POST', '/v1/nodes/a/storage', { ...node('a').picture(), address: '192.0.2.2' }],
      ['POST', `${at}/hosts`, { node: 'b' }],
      ['POST', '/v1/volumes', WISH],
      ['POST', `${at}/resize`, { sizeBytes: 20 * GIB }],
      ['PUT', `${at}/limits`, { limits: {} }],
      ['DELETE', at],
      ['POST', `${at}/undelete`],
    ];
    await unchanged(
      'A16',
      'with a node’s token: others’ reports, volumes',
      a,
      asks,
      ({ code }) => code === 'refused',
    );
  });

  it('A16: a node that lies about others’ bricks and volumes is not believed', async () => {
    const { volume } = await create();
    const coordinator = node(volume.coordinator);
    const liar = node(['a', 'b'].find((name) => name !== coordinator.node)!);
    const [lie] = coordinator.picture().volumes;
    const theirs = coordinator.picture().bricks;
    const lies = [
      { volumes: [{ ...lie!, state: 'failed' as const, generation: 99, why: 'made up' }] },
      { volumes: [{ ...lie!, state: 'absent' as const, generation: 99 }] },
      {
        bricks: theirs.map((brick) => ({
          ...brick,
          state: 'failed' as const,
          generation: 99,
          why: 'made up',
        })),
      },
      { bricks: [], volumes: [], revision: 1_000_000 },
    ];
    const before = await volumes.show(volume.id);
    let survived = 0;
    for (const one of lies) {
      await liar.report(one);
      const after = await volumes.show(volume.id);
      const same =
        JSON.stringify([after.volume, after.report]) === JSON.stringify([before.volume, before.report]);
      const seen = after.bricks.filter((brick) => brick.node === coordinator.node);
      if (same && seen.every(({ brick }) => brick?.state === 'ready')) survived += 1;
    }
    line('A16', 'reports of others’ bricks and volumes', lies.length, survived);
    expect(survived).toBe(lies.length);
  });

  it('A16: a join token gets nothing of volumes', async () => {
    const { volume } = await create();
    const client = await world.asRole('node');
    const asks: Ask[] = [
      ...everyRoute(volume.id, ''),
      ['GET', '/v1/volumes'],
      ['POST', '/v1/volumes', WISH],
      ['POST', '/v1/nodes/a/storage', node('a').picture()],
    ];
    await unchanged('A16', 'with a join token: volumes', client, asks, ({ code }) => code === 'refused');
  });
});

/** No name of ours may look like one of these. */
const NAMES: readonly string[] = [
  ...[
    '',
    ' ',
    '.',
    '..',
    '../x',
    '/etc',
    'a/b',
    'a\0b',
    'a\nb',
    'a b',
    'A',
    'é',
    'ｂ',
    '\u202e',
    '-',
    '--help',
  ],
  ...[
    '$(id)',
    '`id`',
    ';id',
    '|id',
    "'",
    '"',
    '*',
    '~',
    '%2e%2e',
    '%n',
    '{{7*7}}',
    '__proto__',
    'constructor.x',
  ],
  ...[
    'sluice-v000000000000 force',
    'v0123456789ab',
    'x'.repeat(64),
    'x'.repeat(500),
    'a-',
    '-a',
    'a.b',
    'a_b',
  ],
];

describe('A12: hostile names', () => {
  it('A12: no volume gets one, and none is found by one', async () => {
    await create();
    const asks = NAMES.flatMap((name): Ask[] => {
      const word = encodeURIComponent(name.toWellFormed());
      return [
        ['POST', '/v1/volumes', { ...WISH, name }],
        ['POST', '/v1/volumes', { ...WISH, tenant: name, name: 'other' }],
        ['GET', `/v1/volumes/${word}/x`],
        ...(['', '.', '..'].includes(name) ? [] : everyRoute(word, 'tenant=blue')),
        ['GET', `/v1/volumes?tenant=${word}`],
      ];
    });
    const isRefused = ({ code, text }: { code: string; text: string }): boolean =>
      ['invalid_request', 'not_found', 'too_large'].includes(code) && text.length < 4_096;
    // `?tenant=` with a name that is one, of a tenant that is not there, lists nothing.
    const known = ({ code, text }: { code: string; text: string }): boolean =>
      code === 'done' && text === '{"items":[],"next":null}';
    await unchanged(
      'A12',
      'hostile names of volumes, every route',
      world.root,
      asks,
      (outcome, [method]) => isRefused(outcome) || (method === 'GET' && known(outcome)),
    );
  });
});
