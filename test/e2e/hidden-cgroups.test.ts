/** `ip netns exec` hides the control groups; a daemon that is started so holds limits all the same. */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findHierarchies } from '../../linux/cgroup-hierarchies.ts';
import { removeCgroup } from '../../linux/cgroups.ts';
import { runOk } from '../../linux/process.ts';

const NAMESPACE = 'hidecg-a';
const GROUP = 'sluice-hidecg';
const script = fileURLToPath(new URL('../support/list-cgroups.ts', import.meta.url));

interface Seen {
  readonly mounted: boolean;
  readonly groups: readonly {
    readonly controller: string;
    readonly version: number;
    readonly groups: string[];
  }[];
}

async function seen(...before: readonly [string, ...string[]]): Promise<Seen> {
  return JSON.parse(await runOk([...before, process.execPath, script]));
}

beforeAll(async () => {
  for (const { mountPoint } of findHierarchies().byController.values())
    mkdirSync(`${mountPoint}/${GROUP}`, { recursive: true });
  await runOk(['ip', 'netns', 'add', NAMESPACE]);
});
afterAll(async () => {
  removeCgroup(`/${GROUP}`);
  await runOk(['ip', 'netns', 'delete', NAMESPACE]);
});

it('finds the same control groups where they are hidden, and mounts nothing for it', async () => {
  const there = await seen('env');
  const hidden = await seen('ip', 'netns', 'exec', NAMESPACE);
  const kinds = ({ groups }: Seen): object[] =>
    groups.map(({ controller, version }) => ({ controller, version }));
  expect([there.mounted, hidden.mounted]).toEqual([true, false]);
  expect(kinds(hidden)).toEqual(kinds(there));
  expect(hidden.groups.length).toBeGreaterThan(0);
  for (const { groups } of hidden.groups) expect(groups).toContain(GROUP);
});
