/** Checks the import rules over a checkout: `check-imports.ts [ROOT]`. Exit code 1 when one is broken. */
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkImports } from './import-rules.ts';

const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'));

// Files in the root itself configure tools; they belong to no room.
const paths = globSync('*/**/*.{ts,mts,cts,js,mjs,cjs}', {
  cwd: root,
  exclude: ['node_modules', 'build', 'coverage'],
});
const violations = checkImports(
  paths.sort().map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') })),
);

for (const { path, line, rule, message } of violations) console.error(`${path}:${line}  ${rule}: ${message}`);
console.log(`imports: ${paths.length} files, ${violations.length} violations`);
process.exitCode = violations.length === 0 ? 0 : 1;
