/** A process that writes to a sqlite store until it is killed or done, for the contract test of the store. */
import { openSqliteStore } from '../../store/sqlite.ts';

const [mode = '', file = '', count = '0'] = process.argv.slice(2);
const store = openSqliteStore(file, { durability: 'normal' });

/** Two keys in one transaction, acknowledged on stdout after the commit; ends by itself when nobody reads that. */
async function writePairs(): Promise<void> {
  for (let i = 1; ; i++) {
    await store.txn({
      put: [
        { key: `left/${i}`, value: i },
        { key: `right/${i}`, value: i },
      ],
    });
    await new Promise((resolve) => process.stdout.write(`${i}\n`, resolve));
  }
}

/** So that all writers start together: `go` is put once each of them has said that it is ready. */
async function waitForTheOthers(): Promise<void> {
  await store.txn({ put: [{ key: `ready/${process.pid}`, value: true }] });
  for await (const event of store.watch('go', 0, new AbortController().signal))
    if (event.key === 'go') return;
}

/** Reads, adds one, writes if nobody else did in between. */
async function countUp(times: number): Promise<void> {
  for (let done = 0; done < times; ) {
    const entry = await store.get('counter');
    const result = await store.txn({
      compare: [{ key: 'counter', revision: entry?.revision ?? 0 }],
      put: [{ key: 'counter', value: Number(entry?.value ?? 0) + 1 }],
    });
    if (result.ok) done += 1;
  }
}

if (mode === 'pairs') await writePairs();
else {
  await waitForTheOthers();
  await countUp(Number(count));
}
await store.close();
