import { readFileSync } from 'node:fs';
import path from 'node:path';
import { checkMountDirectory } from './system-directories.ts';

it.each([
  '/proc',
  '/proc/1/root',
  '/etc',
  '/etc/x',
  '/usr/share/x',
  '/lib',
  '/lib64/x',
  '/libx32',
  '/run/secrets',
  '/var',
])('refuses %s', (directory) => {
  expect(() => checkMountDirectory(directory)).toThrow('system');
});

it.each(['/data', '/srv/www', '/var/lib/app', '/home/me', '/library', '/tmp/x', '/opt', '/mnt', '/etcetera'])(
  'takes %s',
  (directory) => {
    expect(() => checkMountDirectory(directory)).not.toThrow();
  },
);

it('refuses what its page says', () => {
  const page = readFileSync(path.join(import.meta.dirname, '../../docs/mounts.md'), 'utf8');
  const [, all = ''] = /\*\*Refused directories\*\*(.*?)themselves/.exec(page) ?? [];
  const named = [...all.matchAll(/`(\/[a-z/]+)…?`/g)].map(([, directory = '']) => directory);
  expect(named.length).toBeGreaterThan(10);
  for (const directory of named) expect(() => checkMountDirectory(directory)).toThrow('system');
});
