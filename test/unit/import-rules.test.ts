import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const project = resolve(import.meta.dirname, '../..');
const checker = join(project, 'scripts/check-imports.ts');
const biome = join(project, 'node_modules/.bin/biome');

/** A small house in which every file keeps the rules. */
const CLEAN = {
  'model/limits.ts': "import { z } from 'zod';\nexport const limit = z.number();",
  'store/sqlite.ts':
    "import { DatabaseSync } from 'node:sqlite';\nimport { limit } from '../model/limits.ts';",
  'linux/run.ts': "import { execFile } from 'node:child_process';\nimport koffi from 'koffi';",
  'netd/drivers/bridge.ts': "import { run } from '../../linux/run.ts';\nimport { plan } from '../plan.ts';",
  'netd/plan.ts': "import type { Limits } from '../model/limits.ts';",
  'netd/plan.test.ts': "import fs from 'node:fs';\nimport { anyPeer } from '../test/arbitraries.ts';",
  'orchestrator/server.ts': "import fastify from 'fastify';\nimport { start } from '../netd/server.ts';",
  'cli/main.ts': "const lab = await import('../lab/build.ts');",
  'test/arbitraries.ts':
    "import { limit } from '../model/limits.ts';\nimport { main } from '../cli/main.ts';",
  'bench/main.ts': "import net from 'node:net';\nimport { plan } from '../netd/plan.ts';",
};

/** [what is wrong, the file, its text, what the checker must say]. */
const PLANTED: [string, string, string, string][] = [
  ['the model imports a room', 'model/a.ts', "import '../store/b.ts';", 'a.ts:1  direction: model/'],
  [
    'a room imports upwards',
    'linux/a.ts',
    "\nimport { x } from '../netd/b.ts';",
    'a.ts:2  direction: linux/',
  ],
  ['neighbours import each other', 'netd/a.ts', "import { x } from '../storaged/b.ts';", 'direction: netd/'],
  ['cni imports a daemon', 'cni/a.ts', "import { x } from '../netd/b.ts';", 'direction: cni/'],
  ['the CLI imports the plugin', 'cli/a.ts', "import { x } from '../cni/b.ts';", 'direction: cli/'],
  ['the console imports a daemon', 'console/a.ts', "import '../orchestrator/b.ts';", 'direction: console/'],
  ['from deep in a folder', 'qos/a/b/c.ts', "import '../../../tagqueue/d.ts';", 'direction: qos/'],
  ['for its types only', 'store/a.ts', "import type { X } from '../linux/b.ts';", 'direction: store/'],
  ['by passing on', 'store/a.ts', "export { x } from '../linux/b.ts';", 'direction: store/'],
  ['by passing on all', 'store/a.ts', "export * from '../linux/b.ts';", 'direction: store/'],
  ['by a type query', 'store/a.ts', "export type X = import('../linux/b.ts').X;", 'direction: store/'],
  ['while it runs', 'store/a.ts', "await import('../linux/b.ts');", 'direction: store/'],
  ['a room imports a test', 'netd/a.ts', "import '../test/arbitraries.ts';", 'direction: netd/'],
  [
    'a folder that is no room',
    'helpers/a.ts',
    "import '../model/limits.ts';",
    'direction: helpers/ is not a room',
  ],
  ['a program is run', 'netd/a.ts', "import { spawn } from 'node:child_process';", 'effects: netd/'],
  ['a file is written', 'cli/a.ts', "import { writeFile } from 'node:fs/promises';", 'effects: cli/'],
  ['an old name of a module', 'cli/a.ts', "import fs from 'fs';", 'effects: cli/'],
  ['a socket is opened', 'tagqueue/a.ts', "import net from 'node:net';", 'effects: tagqueue/'],
  ['a system call is made', 'qos/a.ts', "import koffi from 'koffi';", 'effects: qos/'],
  ['a web server outside its room', 'netd/a.ts', "import fastify from 'fastify';", 'effects: netd/'],
  ['a database outside the store', 'linux/a.ts', "import 'node:sqlite';", 'effects: linux/'],
  [
    'the model wants randomness',
    'model/a.ts',
    "import { randomBytes } from 'node:crypto';",
    'purity: the model',
  ],
  [
    'the model waits',
    'model/a.ts',
    "import { setTimeout } from 'node:timers/promises';",
    'purity: the model',
  ],
  ['a computed import', 'netd/a.ts', "await import('./' + name);", 'unreadable: the import is computed'],
  ['an absolute import', 'netd/a.ts', "import '/etc/x.ts';", "unreadable: '/etc/x.ts'"],
  ['a file imports itself', 'netd/a.ts', "import './a.ts';", 'cycle: imports itself in a circle'],
];

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sluice-house-'));
  plant(CLEAN);
});
afterEach(() => rmSync(root, { recursive: true }));

function plant(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
}

function check(): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [checker, root], { encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

describe('import rules', () => {
  it('are kept by a clean house', () => {
    expect(check()).toEqual({ status: 0, said: 'imports: 10 files, 0 violations\n' });
  });

  it.each(PLANTED)('trip when %s', (_what, path, text, expected) => {
    plant({ [path]: text });
    const { status, said } = check();
    expect(said).toContain(expected);
    expect(said).toContain(', 1 violations');
    expect(status).toBe(1);
  });

  it('name every file of a circle, once', () => {
    plant({
      'netd/a.ts': "import './b.ts';",
      'netd/b.ts': "import './c.ts';",
      'netd/c.ts': "import './a.ts';",
    });
    const { said } = check();
    expect(said).toContain('netd/a.ts → netd/b.ts → netd/c.ts → netd/a.ts');
    expect(said).toContain(', 1 violations');
  });
});

describe('purity of the model', () => {
  /** Lint with the project's own rules, moved to the planted house. */
  function lint(path: string): string {
    execFileSync('cp', [join(project, 'biome.jsonc'), root]);
    return spawnSync(biome, ['lint', '--colors=off', path], { cwd: root, encoding: 'utf8' }).stderr;
  }

  it.each([
    ['the clock', 'export const at = Date.now();', 'noRestrictedGlobals'],
    ['the date', 'export const at = new Date();', 'noRestrictedGlobals'],
    ['randomness', 'export const x = Math.random();', 'noJsRestrictedProperties'],
    ['a timer', 'setTimeout(console.log, 1);', 'noRestrictedGlobals'],
    ['the process', 'export const x = process.pid;', 'noRestrictedGlobals'],
    ['the network', "export const x = fetch('x:');", 'noRestrictedGlobals'],
  ])('trips on %s', (_what, text, rule) => {
    plant({ 'model/limits.ts': text });
    expect(lint('model/limits.ts')).toContain(rule);
  });

  it('leaves other rooms their clock, but not the network', () => {
    plant({ 'netd/plan.ts': 'export const x = [Date.now(), Math.random(), process.pid];' });
    expect(lint('netd/plan.ts')).not.toContain('noRestricted');
    plant({ 'netd/plan.ts': "export const x = fetch('x:');" });
    expect(lint('netd/plan.ts')).toContain('noRestrictedGlobals');
  });
});
