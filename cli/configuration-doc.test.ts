import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import { Config } from '../model/config.ts';
import { parseConfig } from './config-file.ts';
import { placesOf } from './places.ts';

const text = readFileSync(path.join(import.meta.dirname, '..', 'docs', 'configuration.md'), 'utf8');
const section = (title: string): string => text.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';

/** The first two columns of a section's table: names and defaults, without their backticks. */
function tableOf(title: string): Map<string, string> {
  const rows = [...section(title).matchAll(/^\| `([^`]+)` \|(?: `(.*?)`)? \|/gm)];
  return new Map(rows.map(([, name = '', value = '']) => [name, value]));
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
}

function keysOf({ properties = {} }: Schema, prefix = ''): string[] {
  return Object.entries(properties).flatMap(([name, schema]) =>
    schema.properties === undefined ? [prefix + name] : keysOf(schema, `${prefix}${name}.`),
  );
}

function defaultOf(key: string): string {
  const value = key
    .split('.')
    .reduce<unknown>((from, name) => (from as Record<string, unknown> | undefined)?.[name], Config.parse({}));
  return value === undefined ? '' : JSON.stringify(value);
}

describe('docs/configuration.md', () => {
  const keys = keysOf(z.toJSONSchema(Config, { io: 'input', unrepresentable: 'any' }) as Schema);

  it('has every key with its default, and no other', () => {
    expect(keys.length).toBeGreaterThan(10);
    expect(Object.fromEntries(tableOf('Keys'))).toEqual(
      Object.fromEntries(keys.map((key) => [key, defaultOf(key)])),
    );
  });

  it('has the defaults of the directories', () => {
    const { runDir, stateDir, configFile } = placesOf({});
    expect(Object.fromEntries(tableOf('Environment'))).toMatchObject({
      SLUICE_RUN_DIR: runDir,
      SLUICE_STATE_DIR: stateDir,
      SLUICE_CONFIG: configFile,
    });
  });

  it('shows an example that works', () => {
    const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(section('Example')) ?? [];
    expect(parseConfig(example, 'example')).toMatchObject({ node: 'a', log: 'warn' });
  });
});
