/** Prints what it can see of control groups: each controller's hierarchy, and the groups in it. */
import { readdirSync, readFileSync } from 'node:fs';
import { findHierarchies } from '../../linux/cgroup-hierarchies.ts';

const groups = [...findHierarchies().byController].map(([controller, { version, mountPoint }]) => {
  const folders = readdirSync(mountPoint, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return { controller, version, groups: folders.map(({ name }) => name).sort() };
});
const mounted = readFileSync('/proc/self/mountinfo', 'utf8').includes(' - cgroup');
process.stdout.write(JSON.stringify({ mounted, groups }));
