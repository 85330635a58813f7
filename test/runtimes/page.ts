/** Configurations out of docs/runtimes.md, so that what people copy is what the tests run. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

const PAGE = path.resolve(import.meta.dirname, '../../docs/runtimes.md');

/** @param name  of a block that stands behind `<!-- tested: NAME -->` @returns the text of the block */
export function example(name: string): string {
  const [, after] = readFileSync(PAGE, 'utf8').split(`<!-- tested: ${name} -->\n`);
  const block = after === undefined ? null : /^```\w+\n(.*?)^```$/ms.exec(after);
  if (block?.[1] === undefined) throw new Error(`${PAGE} has no example called '${name}'`);
  return block[1];
}

interface Network {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly [Readonly<Record<string, unknown>>];
}

/** A network's configuration, whose plugin also gets these keys. */
export function exampleNetwork(name: string, more: Readonly<Record<string, unknown>>): Network {
  const { plugins, ...network } = JSON.parse(example(name)) as Network;
  return { ...network, plugins: [{ ...plugins[0], ...more }] };
}
