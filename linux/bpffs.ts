/** The bpf file system: names that keep eBPF programs and maps alive without any process. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { SluiceError } from '../model/errors.ts';
import { type BpfMap, type BpfProgram, pin } from './bpf.ts';
import { ensureDirectory } from './files.ts';
import { mount, unmount } from './libc.ts';

/** BPF_FS_MAGIC (linux/magic.h). */
const BPF_FS = 0xcafe4a11;
/** MNT_DETACH (sys/mount.h). */
const DETACH = 2;

/** Makes the directory a bpf file system, unless it is one already. */
export function mountBpffs(directory: string): void {
  ensureDirectory(directory);
  if (!isBpffs(directory)) mount('sluice', directory, 'bpf', 0, 'mode=0700');
}

/** Takes the file system away with all pins in it. One that is not mounted is no error. */
export function unmountBpffs(directory: string): void {
  if (!fs.existsSync(directory)) return;
  if (isBpffs(directory)) unmount(directory, DETACH);
  fs.rmdirSync(directory);
}

function isBpffs(directory: string): boolean {
  return fs.statfsSync(directory).type === BPF_FS;
}

/**
 * The kernel's own entries, `maps.debug` and `progs.debug`, are left out: a pin's name has no dot.
 * @returns the names in a directory, none when there is no such directory.
 */
export function listPins(directory: string): string[] {
  const names = fs.existsSync(directory) ? fs.readdirSync(directory) : [];
  return names.filter((name) => !name.includes('.'));
}

/** Pins an object under a name, in one step also where the name is taken. Makes the directory. */
export function replacePin(object: BpfMap | BpfProgram, file: string): void {
  ensureDirectory(path.dirname(file));
  const fresh = `${file}-new`;
  fs.rmSync(fresh, { force: true });
  pin(object, fresh);
  fs.renameSync(fresh, file);
}

/** Removes a directory of pins. One that is not there is no error. */
export function removePins(directory: string): void {
  fs.rmSync(directory, { recursive: true, force: true });
}

/**
 * Names a compiled object by its content: 16 hex digits of its SHA-256.
 * @throws SluiceError `not_found`
 */
export function objectDigest(file: string): string {
  try {
    return createHash('sha256').update(fs.readFileSync(file)).digest('hex').slice(0, 16);
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, cause: unknown): SluiceError {
  const hint = 'run set-up: it builds the object';
  return new SluiceError('not_found', `cannot read the eBPF object ${file}`, hint, { cause });
}
