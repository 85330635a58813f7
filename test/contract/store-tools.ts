/** What the tests of the store share: one of each kind, fresh files, and reading a watch. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Entry, Store, StoreOptions, WatchEvent } from '../../store/contract.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { openSqliteStore } from '../../store/sqlite.ts';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-store-'));
afterAll(() => fs.rmSync(directory, { recursive: true }));

let files = 0;

/** In a directory of its own that does not exist yet. */
export const freshFile = (): string => path.join(directory, `${files++}`, 'store.sqlite');

export const kinds: [string, (options?: StoreOptions) => Store][] = [
  ['memory', openMemoryStore],
  ['sqlite', (options) => openSqliteStore(freshFile(), { durability: 'normal', ...options })],
];

export const never = new AbortController().signal;

/** The next `count` events of a watch, which is then ended. */
export async function take(events: AsyncIterable<WatchEvent>, count: number): Promise<WatchEvent[]> {
  const taken: WatchEvent[] = [];
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

export const keysOf = (entries: readonly Entry[]): string[] => entries.map((entry) => entry.key);
