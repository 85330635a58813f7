/** F9: netd's records damaged on disk: a clear refusal, the file left as it is, and containers that run on. */
import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { createLab, type Lab, type LabContainer } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node.ts';
import { run } from '../../linux/process.ts';
import { netdStorePath } from '../../netd/main.ts';
import { expectConsistent, report } from './crashes.ts';

const PAGE = 4_096;

let lab: Lab;
let node: LabNode;
let file: string;
let containers: readonly [LabContainer, LabContainer];

beforeAll(async () => {
  lab = await createLab({ prefix: 'faultsql', nodes: ['a'] });
  node = lab.node('a');
  file = netdStorePath(node.stateDir);
  await lab.start();
  await lab.tenant('blue');
  containers = [await lab.container('a', 'blue', 'one'), await lab.container('a', 'blue', 'two')];
  await node.stop();
  copyFileSync(file, `${file}.backup`);
});
afterAll(() => lab?.close());

function overwrite(at: number, bytes: number): void {
  const content = readFileSync(file);
  content.fill(0xa5, at, at + bytes);
  writeFileSync(file, content);
}

function sql(statement: string): void {
  const db = new DatabaseSync(file);
  db.exec(statement);
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  db.close();
}

const DAMAGES: [string, () => void, RegExp][] = [
  [
    'truncated to half',
    () => truncateSync(file, Math.floor(readFileSync(file).length / 2 / PAGE) * PAGE),
    /netd\.sqlite: is damaged/,
  ],
  ['truncated in the middle of its first page', () => truncateSync(file, 1_000), /netd\.sqlite: is damaged/],
  ['with another header', () => overwrite(0, 16), /netd\.sqlite: is damaged/],
  ['with a page overwritten', () => overwrite(PAGE, PAGE), /netd\.sqlite: is damaged/],
  [
    'that is no database at all',
    () => writeFileSync(file, 'hello\n'.repeat(1_000)),
    /netd\.sqlite: is damaged/,
  ],
  ['of a later schema', () => sql('PRAGMA user_version = 99'), /netd\.sqlite: has schema 99/],
  [
    'with a record that is no JSON',
    () => sql("UPDATE entries SET text = '{' WHERE key LIKE 'endpoints/%'"),
    /netd\.sqlite.*JSON/,
  ],
  [
    'with a record that is no endpoint',
    () => sql(`UPDATE entries SET text = '{"a":1}' WHERE key LIKE 'endpoints/%'`),
    /endpoints\//,
  ],
];

describe('netd with a store', () => {
  it.each(DAMAGES)(
    '%s says so, ends, and leaves file and containers alone',
    async (what, damage, message) => {
      copyFileSync(`${file}.backup`, file);
      damage();
      const damaged = readFileSync(file);
      const { code, stderr } = await node.sluice(['netd', '--node', 'a', '--uplink', 'up0'], {
        timeoutMs: 20_000,
      });
      const said = stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect({ code, said }).toEqual({
        code: 1,
        said: expect.arrayContaining([
          expect.objectContaining({
            code: 'store_failed',
            msg: expect.stringMatching(message),
            hint: expect.stringMatching(/\w{3}/),
          }),
        ]),
      });
      expect(readFileSync(file)).toEqual(damaged);
      expect(await pings()).toBe(true);
      report(`F9 a store ${what}`, 1, 1);
    },
  );
});

it('that is empty is not taken for a new one where containers are', async () => {
  await expect(restartOn(() => writeFileSync(file, ''))).rejects.toThrow(/records were lost/);
  expect(await pings()).toBe(true);
  report('F9 a store that is empty', 1, 1);
});

/** Until it is ready, or until `status` has given up waiting and says why. */
async function restartOn(damage: () => void): Promise<void> {
  for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
  damage();
  try {
    await node.start({ listen: '192.0.2.1:7070', readySeconds: 5 });
  } finally {
    await node.stop();
  }
}

it('with the file put back everything is as it was', async () => {
  for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
  copyFileSync(`${file}.backup`, file);
  await node.start({ listen: '192.0.2.1:7070' });
  await expectConsistent(lab);
  expect(await pings()).toBe(true);
  for (const container of containers) await container.remove();
});

async function pings(): Promise<boolean> {
  const [from, to] = containers;
  return (
    (await run(['ip', 'netns', 'exec', from.namespace, 'ping', '-c', '1', '-W', '2', to.internal])).code === 0
  );
}
