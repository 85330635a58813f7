/** Making control groups and taking empty ones away, whichever hierarchies the machine has (cgroups(7)). */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../model/errors.ts';
import { processesIn } from './cgroup-files.ts';
import { identify, stopProcess } from './process.ts';

/**
 * Makes a group, and those around it, in every hierarchy. One that is there already is no error.
 * @param name  such as '/sluice-sample/web', from the root of the hierarchy
 * @returns its folder in each
 */
export function makeCgroup(name: string): string[] {
  const parts = name.split('/').filter((one) => one !== '');
  return hierarchies().map((root) =>
    parts.reduce((around, part) => {
      handOn(around);
      const group = `${around}/${part}`;
      mkdirSync(group, { recursive: true });
      inheritCpus(group);
      return group;
    }, root),
  );
}

/** @param folders  of a group, of which those that have the file are written to */
export function writeCgroup(folders: readonly string[], file: string, text: string): void {
  for (const folder of folders) if (existsSync(`${folder}/${file}`)) writeFileSync(`${folder}/${file}`, text);
}

/** On v2 a group has the controllers that the one around it hands on. */
function handOn(group: string): void {
  if (!existsSync(`${group}/cgroup.controllers`)) return;
  const controllers = readFileSync(`${group}/cgroup.controllers`, 'utf8').trim();
  if (controllers === '') return;
  const wanted = controllers.split(' ').map((one) => `+${one}`);
  writeFileSync(`${group}/cgroup.subtree_control`, wanted.join(' '));
}

/** On v1 a group without CPUs and memory nodes of its own takes no process. */
function inheritCpus(group: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (!existsSync(`${group}/../tasks`) || !existsSync(`${group}/${file}`)) continue;
    if (readFileSync(`${group}/${file}`, 'utf8').trim() !== '') continue;
    writeFileSync(`${group}/${file}`, readFileSync(`${group}/../${file}`, 'utf8'));
  }
}

/** The kernel lets go of a group a moment after its last process. */
const CLEARED_WITHIN_MS = 5_000;

/**
 * Ends all processes of a group and of those in it, and takes the groups away.
 * @throws SluiceError `program_failed` when something is left
 */
export async function clearCgroup(name: string): Promise<void> {
  const folders = hierarchies().map((root) => `${root}${name}`);
  const until = performance.now() + CLEARED_WITHIN_MS;
  for (;;) {
    const inside = [...new Set(folders.flatMap(processesIn))].flatMap((pid) => identify(pid) ?? []);
    await Promise.all(inside.map((id) => stopProcess(id)));
    removeCgroup(name);
    if (!folders.some((folder) => existsSync(folder))) return;
    if (performance.now() > until)
      throw new SluiceError(
        'program_failed',
        `the control group ${name} is not empty`,
        'see its cgroup.procs',
      );
    await sleep(10);
  }
}

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
