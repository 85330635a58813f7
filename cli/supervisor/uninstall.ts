/** `sluice uninstall`: what `down` does, and then the state of this machine. */
import path from 'node:path';
import { namesIn, removeEmptyDirectory, removeFile } from '../../linux/directories.ts';
import type { NodeName } from '../../model/names.ts';
import type { Places } from '../places.ts';
import { type DownReport, down } from './down.ts';
import { removeDataOf } from './storage.ts';

export interface UninstallReport extends DownReport {
  /** Files in our directories that are not ours. */
  readonly left: readonly string[];
}

/** A directory may have been named by mistake: only files that we write are removed. */
const OURS =
  /^(?:(?:server|netd|tagqueue|storaged)\.(?:sqlite(?:-wal|-shm|-journal)?|pem|json)|node\.json|.+\.\d+\.new)$/;

export async function uninstall(node: NodeName, places: Places): Promise<UninstallReport> {
  const report = await down(node, places);
  const files = stateFiles(places);
  const data = await removeDataOf(places);
  for (const file of files) removeFile(file);
  const directories = [places.stateDir, places.runDir].filter((directory) => removeEmptyDirectory(directory));
  const left = [places.stateDir, places.runDir].flatMap((directory) =>
    namesIn(directory).map((name) => path.join(directory, name)),
  );
  return {
    ...report,
    removed: [...report.removed, ...data, ...files, ...directories],
    left: [...new Set(left)],
  };
}

/** What `uninstall` takes from the state directory. */
export function stateFiles({ stateDir }: Pick<Places, 'stateDir'>): string[] {
  return namesIn(stateDir)
    .filter((name) => OURS.test(name))
    .map((name) => path.join(stateDir, name));
}
