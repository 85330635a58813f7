/** The server's identity on the network: a key and a certificate in one private file, made at the first start. */
import { createHash, X509Certificate } from 'node:crypto';
import { readTextIfThere, writeAtomically } from '../../linux/files.ts';
import { SluiceError } from '../../model/errors.ts';
import type { Fingerprint } from '../../model/join.ts';

export interface Identity {
  /** Key and certificate. */
  readonly pem: string;
  readonly fingerprint: Fingerprint;
}

/** @throws SluiceError `store_failed` when the file holds no certificate. */
export async function openIdentity(file: string, now: number): Promise<Identity> {
  let pem = readTextIfThere(file);
  if (pem === undefined) {
    // Loaded only here: the library is needed once in a cluster's life and costs memory ever after.
    const { makeCertificate } = await import('./certificate.ts');
    pem = await makeCertificate(now);
    writeAtomically(file, pem);
  }
  return { pem, fingerprint: fingerprintOf(pem, file) };
}

function fingerprintOf(pem: string, file: string): Fingerprint {
  try {
    const { raw } = new X509Certificate(pem);
    return createHash('sha256').update(raw).digest('base64url') as Fingerprint;
  } catch (cause) {
    throw damaged(file, cause);
  }
}

function damaged(file: string, cause: unknown): SluiceError {
  const hint =
    'restore it from a backup; a new one (move it away and start again) makes every node join anew';
  return new SluiceError('store_failed', `${file} holds no certificate`, hint, { cause });
}
