/**
 * A process that does one kind of operation as fast as it is let, for tests of limits:
 *   node storm.ts DIRECTORY KIND SECONDS
 * prints how many it could do within the time. The directory is its own.
 */
import * as fs from 'node:fs';
import path from 'node:path';

const [directory = '', kind = '', seconds = ''] = process.argv.slice(2);
const at = (name: string | number): string => path.join(directory, String(name));

fs.writeFileSync(at('file'), 'x');
const descriptor = fs.openSync(at('file'), 'r+');
const BLOCK = new Uint8Array(4_096);

/** Each leaves behind what lets it be done once more. */
const KINDS: Readonly<Record<string, (turn: number) => void>> = {
  create: (turn) => fs.closeSync(fs.openSync(at(turn), 'wx')),
  mkdir: (turn) => fs.mkdirSync(at(turn)),
  symlink: (turn) => fs.symlinkSync('nowhere', at(turn)),
  link: (turn) => fs.linkSync(at('file'), at(turn)),
  rename: (turn) => fs.renameSync(at(turn === 0 ? 'file' : `r${turn - 1}`), at(`r${turn}`)),
  chmod: (turn) => fs.chmodSync(at('file'), 0o600 + (turn % 2)),
  truncate: (turn) => fs.ftruncateSync(descriptor, turn % 9),
  fsync: () => fs.fsyncSync(descriptor),
  write: () => fs.writeSync(descriptor, BLOCK, 0, BLOCK.length, 0),
  lookup: (turn) => void fs.existsSync(at(`none-${turn}`)),
  open: () => fs.closeSync(fs.openSync(at('file'), 'r')),
  readdir: () => void fs.readdirSync(directory),
};

const once = KINDS[kind];
if (once === undefined) throw new RangeError(kind);
const until = performance.now() + Number(seconds) * 1_000;
let done = 0;
for (; performance.now() < until; done += 1) once(done);
process.stdout.write(String(done));
