/** The books of usage: sums, expiry, and that no death of a writer leaves a figure missing or counted twice. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import type { Side } from '../../model/endpoint.ts';
import type { ContainerId, IfName, TenantTag } from '../../model/names.ts';
import { type AccountId, type Counters, HOUR_MS, type UsageQuestion } from '../../model/usage.ts';
import { openUsageStore, type UsageStore, type UsageStoreOptions } from '../../store/usage.ts';
import { freshFile } from './store-tools.ts';

const WRITER = path.join(import.meta.dirname, 'usage-writer.ts');
const HOUR = 500_000 * HOUR_MS;

const opened: UsageStore[] = [];
const writers: ChildProcess[] = [];
afterEach(() => {
  for (const writer of writers.splice(0)) writer.kill('SIGKILL');
  for (const store of opened.splice(0)) store.close();
});

function open(file = freshFile(), options: UsageStoreOptions = { durability: 'normal' }): UsageStore {
  const store = openUsageStore(file, options);
  opened.push(store);
  return store;
}

const amount = (bytes: bigint): Counters => ({
  ...{ sentBytes: bytes, sentPackets: 1n, receivedBytes: 2n * bytes, receivedPackets: 2n },
});

/** Writes an amount down, and opens the account where that has not been done. */
function credit(store: UsageStore, id: bigint, tag: number, side: Side, hour: number, bytes: bigint): void {
  const account = id as AccountId;
  store.write((books) => {
    if (!books.known().has(account)) {
      books.open(account, {
        ...{ tag: tag as TenantTag, side, container: `c${id}` as ContainerId, ifName: 'eth0' as IfName },
      });
    }
    books.credit(account, hour, { source: 'map 1', seen: amount(bytes) }, amount(bytes));
  });
}

const question = (asked: Partial<UsageQuestion>): UsageQuestion => ({
  ...{ by: 'tenant', from: 0, to: Number.MAX_SAFE_INTEGER, tag: undefined, limit: 100, ...asked },
});

describe('the books of usage', () => {
  it('add up by tenant, by endpoint and by hour, of the hours that are asked for', () => {
    const store = open();
    credit(store, 1n, 1, 'internal', HOUR, 100n);
    credit(store, 2n, 1, 'internal', HOUR, 50n);
    credit(store, 1n, 1, 'internal', HOUR + HOUR_MS, 7n);
    credit(store, 3n, 2, 'external', HOUR + HOUR_MS, 1_000n);
    const rows = (asked: Partial<UsageQuestion>): unknown[] =>
      store
        .sum(question(asked))
        .rows.map(({ tag, side, container, hour, sentBytes, receivedPackets }) => [
          tag,
          side,
          container ?? hour,
          sentBytes,
          receivedPackets,
        ]);
    expect(rows({})).toEqual([
      [2, 'external', undefined, 1_000n, 2n],
      [1, 'internal', undefined, 157n, 6n],
    ]);
    expect(rows({ by: 'endpoint', tag: 1 as TenantTag })).toEqual([
      [1, 'internal', 'c1', 107n, 4n],
      [1, 'internal', 'c2', 50n, 2n],
    ]);
    expect(rows({ by: 'hour' })).toEqual([
      [1, 'internal', HOUR, 150n, 4n],
      [1, 'internal', HOUR + HOUR_MS, 7n, 2n],
      [2, 'external', HOUR + HOUR_MS, 1_000n, 2n],
    ]);
    // An hour counts when any part of it is asked for, and just then.
    expect(rows({ by: 'hour', to: HOUR + HOUR_MS })).toHaveLength(1);
    expect(rows({ by: 'hour', from: HOUR + HOUR_MS - 1 })).toHaveLength(3);
    expect(rows({ by: 'hour', from: HOUR + HOUR_MS })).toHaveLength(2);
    expect(store.sum(question({ by: 'hour', limit: 2 }))).toMatchObject({ more: true, rows: [{}, {}] });
    expect(store.sum(question({ by: 'hour', limit: 3 })).more).toBe(false);
  });

  it('keep ids and counters of 64 bits to the last bit', () => {
    const store = open();
    const id = (2n ** 64n - 3n) as AccountId;
    const seen = { ...amount(2n ** 64n - 1n), receivedBytes: 2n ** 63n };
    store.write((books) => {
      books.open(id, {
        ...{ tag: 1 as TenantTag, side: 'internal', container: 'c' as ContainerId, ifName: 'eth1' as IfName },
      });
      books.credit(id, HOUR, { source: 'map 1', seen }, amount(2n ** 62n - 1n));
    });
    expect(store.write((books) => books.known())).toEqual(new Map([[id, { source: 'map 1', seen }]]));
    expect(store.totals()).toMatchObject([{ sentBytes: 2n ** 62n - 1n, receivedBytes: 2n ** 63n - 2n }]);
  });

  it('forget old hours and what was only in them, and keep the totals', () => {
    const store = open();
    credit(store, 1n, 1, 'internal', HOUR, 100n);
    credit(store, 2n, 1, 'internal', HOUR + HOUR_MS, 50n);
    const before = store.totals();
    store.write((books) => {
      books.closeAccount(1n as AccountId);
      books.expire(HOUR + HOUR_MS);
    });
    expect(store.sum(question({ by: 'endpoint' })).rows).toMatchObject([{ container: 'c2' }]);
    expect(store.totals()).toEqual(before);
    expect([...store.write((books) => books.known()).keys()]).toEqual([2n]);
  });

  it('let the oldest hours go before the file is full', () => {
    const store = open(freshFile(), { durability: 'normal', maxBytes: 2 ** 19 });
    for (let hour = 0; hour < 400; hour++) {
      store.write((books) => {
        for (let id = 1n; id <= 100n; id++) {
          const account = id as AccountId;
          if (hour === 0) {
            books.open(account, {
              ...{ tag: 1 as TenantTag, side: 'internal', container: `c${id}` as ContainerId },
              ifName: 'eth1' as IfName,
            });
          }
          books.credit(account, HOUR + hour * HOUR_MS, { source: 'map 1', seen: amount(1n) }, amount(1n));
        }
        books.expire(0);
      });
    }
    expect(store.totals()).toMatchObject([{ sentBytes: 40_000n }]);
    const kept = store.sum(question({ by: 'hour', limit: 1_000 })).rows.map(({ hour }) => hour);
    expect(kept.length).toBeGreaterThan(24);
    expect(kept.length).toBeLessThan(400);
    expect(kept.at(-1)).toBe(HOUR + 399 * HOUR_MS);
  });

  it('refuse what is none of them', () => {
    const file = freshFile();
    fs.mkdirSync(path.dirname(file));
    fs.writeFileSync(file, 'something else '.repeat(1_000));
    expect(() => open(file)).toThrow(expect.objectContaining({ code: 'store_failed' }));
  });

  it('are exact after kill -9 of whoever writes, again and again', async () => {
    const file = freshFile();
    const counterFile = `${file}.counter`;
    fs.mkdirSync(path.dirname(file));
    fs.writeFileSync(counterFile, '0');
    for (let round = 0; round < 5; round++) {
      const acknowledged = await killedAfter(100 + 37 * round, file, counterFile);
      const counter = BigInt(fs.readFileSync(counterFile, 'utf8'));
      const store = open(file);
      const [total] = store.totals();
      expect(total?.sentBytes).toBeGreaterThanOrEqual(acknowledged);
      expect(total?.sentBytes).toBeLessThanOrEqual(counter);
      expect(total?.sentPackets).toBe((total?.sentBytes ?? 0n) / 10n);
      expect(store.write((books) => books.known()).get(1n as AccountId)?.seen.sentBytes).toBe(
        total?.sentBytes,
      );
      expect(store.sum(question({})).rows).toMatchObject([{ sentBytes: total?.sentBytes }]);
    }
  }, 30_000);
});

/** Starts a writer, kills it when it has acknowledged so many collections; @returns the last acknowledged counter. */
async function killedAfter(count: number, file: string, counterFile: string): Promise<bigint> {
  const writer = spawn(process.execPath, [WRITER, file, counterFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  writers.push(writer);
  let output = '';
  writer.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.split('\n').length > count) writer.kill('SIGKILL');
  });
  await once(writer, 'close');
  expect(writer.signalCode).toBe('SIGKILL');
  return BigInt(output.split('\n').at(-2) ?? '0');
}
