/** bin/sluice, the shell script in front of the command, with a Node that tells what it was given. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeScratchDirectory } from '../linux/directories.ts';
import { ROOT } from './version.ts';

let root: string;
beforeEach(() => {
  root = makeScratchDirectory('launcher');
  for (const directory of ['bin', 'node_modules/.bin'])
    mkdirSync(path.join(root, directory), { recursive: true });
  cpSync(path.join(ROOT, 'bin/sluice'), path.join(root, 'bin/sluice'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const call = (env: NodeJS.ProcessEnv, ...words: readonly string[]): string =>
  execFileSync(path.join(root, 'bin/sluice'), words, { env, encoding: 'utf8', stdio: 'pipe' });

it("finds daemons' programs also where PATH leads to none of them, and passes words on as they are", () => {
  const node = path.join(root, 'node_modules/.bin/node');
  writeFileSync(node, '#!/bin/sh\necho "$PATH"\nfor word; do echo "[$word]"; done\n');
  chmodSync(node, 0o755);
  const lines = call({ PATH: '/usr/bin:/bin' }, 'volume', 'a b').split('\n');
  expect(lines[0]).toBe('/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin');
  expect(lines.slice(-3)).toEqual(['[volume]', '[a b]', '']);
});

it('says what to do where there is no Node yet', () => {
  expect(() => call({ PATH: '/usr/bin:/bin' })).toThrow(/npm start/);
});
