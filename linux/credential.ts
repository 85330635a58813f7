/** What a node keeps to prove who it is: one private file in its state directory. */
import path from 'node:path';
import { SluiceError } from '../model/errors.ts';
import { NodeCredential } from '../model/join.ts';
import { readTextIfThere, writeAtomically } from './files.ts';

/**
 * @returns undefined when this machine has joined no cluster
 * @throws SluiceError `store_failed` when the file is not what this program writes
 */
export function readCredential(stateDir: string): NodeCredential | undefined {
  const file = fileIn(stateDir);
  const text = readTextIfThere(file);
  if (text === undefined) return undefined;
  try {
    return NodeCredential.parse(JSON.parse(text));
  } catch (cause) {
    throw damaged(file, cause);
  }
}

export function saveCredential(stateDir: string, credential: NodeCredential): void {
  writeAtomically(fileIn(stateDir), `${JSON.stringify(credential, undefined, 2)}\n`);
}

function fileIn(stateDir: string): string {
  return path.join(stateDir, 'node.json');
}

/** The cause is kept for the log only: a damaged file may still hold a secret. */
function damaged(file: string, cause: unknown): SluiceError {
  const hint = 'restore it, or delete the node on the server, remove the file and join again';
  return new SluiceError('store_failed', `${file} is no node credential`, hint, { cause });
}
