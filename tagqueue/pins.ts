/** Where a node's plane is pinned: maps under `maps/`, programs under `programs/DIGEST/` of the object they came from. */
import { type BpfMap, type BpfProgram, pinnedMap, pinnedProgram } from '../linux/bpf.ts';
import { listPins } from '../linux/bpffs.ts';
import { SluiceError } from '../model/errors.ts';
import type { NodeName } from '../model/names.ts';
import type { MapName, ProgramName } from './maps.ts';

/** A node's directory in the bpf file system; several nodes may share one. */
export type PinDirectory = string & { readonly pins: true };

export function bpffsOf(runDir: string): string {
  return `${runDir}/bpf`;
}

/** A node name has no dots, which the bpf file system would refuse. */
export function pinDirectoryOf(runDir: string, node: NodeName): PinDirectory {
  return `${bpffsOf(runDir)}/${node}` as PinDirectory;
}

export function mapPin(pins: PinDirectory, name: MapName): string {
  return `${pins}/maps/${name}`;
}

export function programPin(pins: PinDirectory, digest: string, name: ProgramName): string {
  return `${programPins(pins, digest)}/${name}`;
}

export function programPins(pins: PinDirectory, digest: string): string {
  return `${pins}/programs/${digest}`;
}

/** Digests of all objects whose programs are pinned. */
export function pinnedDigests(pins: PinDirectory): string[] {
  return listPins(`${pins}/programs`);
}

/** @throws SluiceError `not_ready` when it is not pinned. */
export function requireMap(pins: PinDirectory, name: MapName): BpfMap {
  return pinnedMap(mapPin(pins, name)) ?? missing(name);
}

/** @throws SluiceError `not_ready` when it is not pinned. */
export function requireProgram(pins: PinDirectory, digest: string, name: ProgramName): BpfProgram {
  return pinnedProgram(programPin(pins, digest, name)) ?? missing(name);
}

function missing(name: string): never {
  const hint = 'tagqueue puts it there within seconds; see `sluice status`';
  throw new SluiceError('not_ready', `the node's plane has no ${name} (yet)`, hint);
}
