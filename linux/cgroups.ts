/** Taking empty control groups away, whichever hierarchies the machine has (cgroups(7)). */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';

/**
 * Removes a group and those in it from every hierarchy. Groups that still hold processes stay; groups that are not
 * there are no error.
 * @param name  such as '/sluice-sample', from the root of the hierarchy
 */
export function removeCgroup(name: string): void {
  for (const root of hierarchies()) removeTree(`${root}${name}`);
}

/** Mount points of both versions (proc_pid_mountinfo(5): the type stands behind the separator). */
function hierarchies(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '');
}

function removeTree(group: string): void {
  try {
    for (const entry of readdirSync(group, { withFileTypes: true })) {
      if (entry.isDirectory()) removeTree(`${group}/${entry.name}`);
    }
    rmdirSync(group);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EBUSY') throw error;
  }
}
