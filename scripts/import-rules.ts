/**
 * The rules of who may import what: the rooms of the house know each other in one direction only,
 * and few of them may touch the machine. Pure: files in, violations out.
 */
import { posix } from 'node:path';
import { parseSync, Visitor } from 'oxc-parser';

/** Rooms each room may import from, besides itself. A folder that is not here is not a room. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  model: [],
  store: ['model'],
  linux: ['model'],
  qos: ['model', 'store', 'linux'],
  tagqueue: ['model', 'store', 'linux'],
  // cni is netd's wire language: pure, and itself importing nothing but model.
  netd: ['model', 'store', 'linux', 'qos', 'tagqueue', 'cni'],
  storaged: ['model', 'store', 'linux', 'qos', 'tagqueue'],
  orchestrator: ['model', 'store', 'linux', 'qos', 'tagqueue', 'netd', 'storaged'],
  cni: ['model'], // talks to the daemons through sockets
  console: ['model'], // likewise
  lab: ['model', 'store', 'linux', 'cni'],
  cli: ['model', 'store', 'linux', 'qos', 'tagqueue', 'netd', 'storaged', 'orchestrator', 'lab', 'console'],
};

/** Folders, and files beside the sources, that check or measure the house and may see all of it. */
const OUTSIDE = ['test', 'bench', 'scripts'];
const isOutside = (path: string): boolean => OUTSIDE.includes(roomOf(path)) || path.endsWith('.test.ts');

/** Modules through which a program acts on the machine, and the rooms that may import them. */
const EFFECTS: Readonly<Record<string, readonly string[]>> = {
  child_process: ['linux', 'store'],
  cluster: ['linux', 'store'],
  dgram: ['linux', 'store'],
  dns: ['linux', 'store'],
  fs: ['linux', 'store'],
  http: ['linux', 'store'],
  http2: ['linux', 'store'],
  https: ['linux', 'store'],
  module: ['linux', 'store'], // createRequire would open every door here
  net: ['linux', 'store'],
  sqlite: ['store'],
  tls: ['linux', 'store'],
  fastify: ['linux', 'store', 'orchestrator'],
  koffi: ['linux', 'store'],
  netlink: ['linux', 'store'],
  undici: ['linux', 'store'],
};

/** Of Node's own modules the model may use those that compute, and nothing else. */
const PURE_NODE_MODULES = ['buffer', 'path', 'util', 'assert'];

/** A source file of the checkout. */
export interface SourceFile {
  /** Relative to the root of the checkout, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** One broken rule, with its place (line counts from 1) and what to do instead. */
export interface Violation {
  readonly path: string;
  readonly line: number;
  readonly rule: 'direction' | 'effects' | 'purity' | 'cycle' | 'unreadable';
  readonly message: string;
}

interface Import {
  readonly line: number;
  /** What the import names; undefined when it is computed at run time. */
  readonly specifier: string | undefined;
}

/**
 * Checks all files of the house together.
 *
 * @returns violations in the order of the files; none means that the house stands.
 */
export function checkImports(files: readonly SourceFile[]): Violation[] {
  const house = files.filter((file) => !isOutside(file.path));
  const imports = new Map(house.map((file) => [file.path, importsOf(file)]));
  const single = [...imports].flatMap(([path, all]) => all.flatMap((one) => checkImport(path, one)));
  return [...single, ...checkCycles(imports)];
}

function checkImport(path: string, { line, specifier }: Import): Violation[] {
  const violation = (rule: Violation['rule'], message: string): Violation[] => [
    { path, line, rule, message },
  ];
  if (specifier === undefined)
    return violation('unreadable', 'the import is computed: name the file in full');
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier);
    const problem = directionProblem(path, target);
    return problem === undefined ? [] : violation('direction', problem);
  }
  if (/^[/#]|^file:|^data:/.test(specifier)) {
    return violation('unreadable', `'${specifier}' hides which file it is: use a relative path`);
  }
  return checkPackage(path, specifier, violation);
}

function directionProblem(path: string, target: string): string | undefined {
  const from = roomOf(path);
  const to = roomOf(target);
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) return `${from}/ is not a room: add it to MAY_IMPORT in scripts/import-rules.ts`;
  if (isOutside(target)) return `${from}/ imports a test or a tool: move what is shared into a room`;
  if (from === to || allowed.includes(to)) return undefined;
  return `${from}/ may not import ${to}/, only ${allowed.length === 0 ? 'itself' : allowed.join(', ')}`;
}

function checkPackage(
  path: string,
  specifier: string,
  violation: (rule: Violation['rule'], message: string) => Violation[],
): Violation[] {
  const room = roomOf(path);
  const name = specifier.replace(/^node:/, '').split('/')[0] ?? specifier;
  const allowed = EFFECTS[name];
  if (allowed !== undefined && !allowed.includes(room)) {
    return violation('effects', `${room}/ may not import '${specifier}': ask ${allowed.join('/, ')}/ for it`);
  }
  if (room === 'model' && specifier.startsWith('node:') && !PURE_NODE_MODULES.includes(name)) {
    return violation('purity', `the model is pure: take what '${specifier}' gives as an argument`);
  }
  return [];
}

/** Finds each circle of files once, by walking the imports depth first. */
function checkCycles(imports: ReadonlyMap<string, readonly Import[]>): Violation[] {
  const found: Violation[] = [];
  const done = new Set<string>();

  function walk(path: string, trail: readonly string[]): void {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const circle = [...trail.slice(start), path].join(' → ');
      found.push({ path, line: 1, rule: 'cycle', message: `imports itself in a circle: ${circle}` });
      return;
    }
    if (done.has(path)) return;
    for (const { specifier } of imports.get(path) ?? []) {
      if (specifier?.startsWith('.')) walk(posix.join(posix.dirname(path), specifier), [...trail, path]);
    }
    done.add(path);
  }

  for (const path of imports.keys()) walk(path, []);
  return found;
}

/** Everything a file imports: for its values or its types, statically or while it runs. */
function importsOf({ path, text }: SourceFile): Import[] {
  const parsed = parseSync(path, text);
  const found: Import[] = [];
  const add = (at: number, specifier: string | undefined): void => {
    found.push({ line: text.slice(0, at).split('\n').length, specifier });
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.start, node.source.value),
    ExportAllDeclaration: (node) => add(node.start, node.source.value),
    ExportNamedDeclaration: (node) => node.source && add(node.start, node.source.value),
    ImportExpression: (node) => add(node.start, literal(node.source)),
    TSImportType: (node) => add(node.start, literal(node.source)),
  }).visit(parsed.program);
  return found;
}

function literal(node: { readonly type: string; readonly value?: unknown }): string | undefined {
  return node.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined;
}

function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : '.';
}
