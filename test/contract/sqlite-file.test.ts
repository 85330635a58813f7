/** What the embedded store must do besides: survive. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Store } from '../../store/contract.ts';
import { openSqliteStore } from '../../store/sqlite.ts';
import { freshFile, keysOf, never, take } from './store-tools.ts';

const WRITER = path.join(import.meta.dirname, 'store-writer.ts');

const writers: ChildProcess[] = [];
afterEach(() => {
  for (const writer of writers.splice(0)) writer.kill('SIGKILL');
});

function startWriter(...args: string[]): ChildProcess {
  const writer = spawn(process.execPath, [WRITER, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  writers.push(writer);
  return writer;
}

describe('a sqlite file', () => {
  const put = (store: Store, key: string, value: unknown): Promise<unknown> =>
    store.txn({ put: [{ key, value }] });

  it('goes on where it stopped, also with its leases', async () => {
    const file = freshFile();
    const first = openSqliteStore(file, { now: () => 0 });
    const lease = await first.grantLease(1_000);
    await first.txn({ put: [{ key: 'held', value: 1, lease }] });
    await put(first, 'a', 1);
    await first.close();
    const second = openSqliteStore(file, { now: () => 2_000 });
    expect(keysOf((await second.list('')).entries)).toEqual(['a']);
    expect(await second.txn({ put: [{ key: 'b', value: 1 }] })).toEqual({ ok: true, revision: 4 });
    expect(await take(second.watch('', 2, never), 2)).toMatchObject([
      { key: 'held', type: 'delete' },
      { key: 'b' },
    ]);
    await second.close();
  });

  it('is private, with everything beside it, whatever mode it had', async () => {
    const file = freshFile();
    fs.mkdirSync(path.dirname(file), { mode: 0o755 });
    fs.writeFileSync(file, '', { mode: 0o644 });
    const store = openSqliteStore(file);
    await put(store, 'a', 1);
    const modes = fs.readdirSync(path.dirname(file)).map((name) => {
      return [name, (fs.statSync(path.join(path.dirname(file), name)).mode & 0o777).toString(8)];
    });
    expect(modes.sort()).toEqual([
      ['store.sqlite', '600'],
      ['store.sqlite-shm', '600'],
      ['store.sqlite-wal', '600'],
    ]);
    await store.close();
  });

  it('is refused and left alone when it is no store, damaged, or from a newer program', async () => {
    const noStore = freshFile();
    fs.mkdirSync(path.dirname(noStore));
    fs.writeFileSync(
      noStore,
      'a letter to a friend, long enough to be taken for something else '.repeat(100),
    );
    const damaged = freshFile();
    const store = openSqliteStore(damaged);
    for (let i = 0; i < 500; i++) await put(store, `key/${i}`, 'x'.repeat(100));
    await store.close();
    const bytes = fs.readFileSync(damaged);
    bytes.fill(0x5a, 3 * 4096, 5 * 4096);
    fs.writeFileSync(damaged, bytes);
    const newer = freshFile();
    await openSqliteStore(newer).close();
    const db = new DatabaseSync(newer);
    db.exec('PRAGMA user_version = 99');
    db.close();
    for (const file of [noStore, damaged, newer]) {
      const before = fs.readFileSync(file);
      expect(() => openSqliteStore(file)).toThrow(
        expect.objectContaining({ code: 'store_failed', message: expect.stringContaining(file) }),
      );
      expect(fs.readFileSync(file).equals(before)).toBe(true);
    }
  });

  it('keeps as much history as it may, in characters too, and always the newest event', async () => {
    const file = freshFile();
    const store = openSqliteStore(file, { historyChars: 10_000 });
    for (let i = 0; i < 50; i++) await put(store, 'a', 'x'.repeat(998));
    expect(await take(store.watch('', 40, never), 10)).toHaveLength(10);
    await expect(take(store.watch('', 38, never), 1)).rejects.toMatchObject({ code: 'compacted' });
    await put(store, 'a', 'x'.repeat(50_000));
    await store.close();
    const again = openSqliteStore(file);
    expect((await again.list('')).revision).toBe(51);
    await again.close();
  });

  it('says that it is full, keeps what it has, and goes on when there is room', async () => {
    const file = freshFile();
    const store = openSqliteStore(file, { maxBytes: 200_000, history: 1 });
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 1_000; i++) await put(store, `key/${i}`, 'x'.repeat(1_000));
    };
    await expect(fill()).rejects.toMatchObject({
      code: 'store_failed',
      hint: expect.stringContaining('free space'),
    });
    const kept = (await store.list('key/')).entries;
    expect(kept.length).toBeGreaterThan(30);
    expect(kept.at(-1)?.value).toBe('x'.repeat(1_000));
    await store.txn({ delete: kept.slice(0, 20).map((entry) => entry.key) });
    await put(store, 'again', 1);
    expect((await store.get('again'))?.value).toBe(1);
    await store.close();
  });

  it('has every acknowledged transaction, and none by half, after kill -9', async () => {
    const file = freshFile();
    for (let round = 0; round < 5; round++) {
      fs.rmSync(path.dirname(file), { recursive: true, force: true });
      const acknowledged = await killedAfter(200 + 150 * round, file);
      const store = openSqliteStore(file);
      const [left, right] = [await store.list('left/'), await store.list('right/')];
      expect(left.entries.length).toBeGreaterThanOrEqual(acknowledged);
      expect(right.entries.map((entry) => entry.value)).toEqual(left.entries.map((entry) => entry.value));
      expect(left.revision).toBe(left.entries.length);
      await store.close();
    }
  }, 30_000);

  it('is shared by processes: none loses what the other wrote, and a watch sees both', async () => {
    const file = freshFile();
    const store = openSqliteStore(file, { durability: 'normal', pollMs: 5 });
    const ready = take(store.watch('ready/', 0, never), 3);
    const told = take(store.watch('counter', 0, never), 1_500);
    const three = [1, 2, 3].map(() => startWriter('count', file, '500'));
    const ends = Promise.all(three.map((writer) => once(writer, 'exit')));
    await ready;
    await put(store, 'go', true);
    expect((await ends).map(([code]) => code as unknown)).toEqual([0, 0, 0]);
    expect((await store.get('counter'))?.value).toBe(1_500);
    const values = (await told).map((event) => event.type === 'put' && event.value);
    expect(values).toEqual(Array.from({ length: 1_500 }, (_, i) => i + 1));
    await store.close();
  }, 30_000);
});

/** Starts a writer, kills it when it has acknowledged so many transactions; @returns the last acknowledged one. */
async function killedAfter(count: number, file: string): Promise<number> {
  const writer = startWriter('pairs', file);
  let output = '';
  writer.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.split('\n').length > count) writer.kill('SIGKILL');
  });
  await once(writer, 'close');
  expect(writer.signalCode).toBe('SIGKILL');
  const lines = output.split('\n');
  return Number(lines.at(-2));
}
