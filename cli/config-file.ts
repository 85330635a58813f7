/** Understands files that people write, and says of everything wrong in them which key it is and where it stands. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type * as z from 'zod';
import { Config } from '../model/config.ts';
import { SluiceError } from '../model/errors.ts';

/** @throws SluiceError `invalid_request` with every fault and its line. */
export function parseConfig(text: string, file: string): Config {
  return parseYaml(text, file, Config, 'docs/configuration.md lists every key');
}

/**
 * @param hint  where every key is explained
 * @throws SluiceError `invalid_request` with every fault and its line
 */
export function parseYaml<S extends z.ZodType>(
  text: string,
  file: string,
  schema: S,
  hint: string,
): z.infer<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const line = (offset: number): number => lines.linePos(offset).line;
  if (document.errors.length > 0) {
    throw wrong(
      document.errors.map(({ pos, message }) => `${file}:${line(pos[0])}: ${message}`),
      hint,
    );
  }
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;
  throw wrong(
    parsed.error.issues.flatMap(faultsOf).map(({ path, message }) => {
      const offset = offsetOf(document.contents, path);
      const place = offset === undefined ? file : `${file}:${line(offset)}`;
      return `${place}: ${path.length === 0 ? '' : `${path.join('.')}: `}${message}`;
    }),
    hint,
  );
}

interface Fault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Unknown keys are named one by one, each with its own line. */
function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }];
  return issue.keys.map((key) => ({ path: [...issue.path, key], message: 'there is no such key' }));
}

/** Where the key of this path stands; for a path that is not in the document, its nearest parent's. */
function offsetOf(root: Node | null, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = root;
  let offset: number | undefined;
  for (const part of path) {
    if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
      continue;
    }
    if (!isMap(node)) break;
    const pair = node.items.find(({ key }) => isScalar(key) && key.value === part);
    if (pair === undefined) break;
    offset = (pair.key as Node).range?.[0];
    node = pair.value;
  }
  return offset;
}

function wrong(faults: readonly string[], hint: string): SluiceError {
  return new SluiceError('invalid_request', faults.join('\n'), hint);
}
