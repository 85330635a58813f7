/** A program that writes numbered records, each synced before the next, and tells how long the longest took; and what it says is there. */
import { createHash } from 'node:crypto';

/** Of one record. */
export const RECORD_BYTES = 16_384;

/**
 * For `node -e`: FILE, milliseconds between records, and a file that ends it by being there. Prints one line of JSON: how
 * many records were acknowledged, the longest one in ms, and errors. An error is told, and the record is tried again.
 */
export const WRITER = `
const fs = require('node:fs'), crypto = require('node:crypto');
const [file, every, stop] = process.argv.slice(1);
const record = (n) => { const b = Buffer.alloc(${RECORD_BYTES}); let h = crypto.createHash('sha256').update(String(n)).digest(); for (let o = 0; o < b.length; o += 32) h.copy(b, o); return b; };
let n = 0, longest = 0, errors = [], fd = fs.openSync(file, 'w');
(async () => {
  while (!fs.existsSync(stop)) {
    const at = performance.now();
    for (;;) {
      try { fs.writeSync(fd, record(n), 0, ${RECORD_BYTES}, n * ${RECORD_BYTES}); fs.fsyncSync(fd); break; }
      catch (error) {
        errors.push(error.code); if (errors.length > 200) throw error;
        await new Promise((r) => setTimeout(r, 50));
        try { fs.closeSync(fd); } catch {}
        try { fd = fs.openSync(file, 'r+'); } catch {}
      }
    }
    n++; longest = Math.max(longest, performance.now() - at);
    fs.writeFileSync(stop + '.count', String(n));
    await new Promise((r) => setTimeout(r, Number(every)));
  }
  console.log(JSON.stringify({ acknowledged: n, longestMs: Math.round(longest), errors: [...new Set(errors)] }));
})();`;

export interface Written {
  readonly acknowledged: number;
  readonly longestMs: number;
  readonly errors: readonly string[];
}

/** The checksum that a file of so many records has. */
export function checksumOf(records: number): string {
  const sum = createHash('sha256');
  for (let n = 0; n < records; n++) {
    const one = createHash('sha256').update(String(n)).digest();
    for (let at = 0; at < RECORD_BYTES; at += one.length) sum.update(one);
  }
  return sum.digest('hex');
}
