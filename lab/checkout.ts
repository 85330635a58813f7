/** Where the programs under trial are. */
import path from 'node:path';

export interface Checkout {
  readonly root: string;
  /** Path of the `sluice` command. */
  readonly sluice: string;
  /** Path of the CNI plugin. */
  readonly plugin: string;
}

/** The programs of the checkout that this file is part of. */
export function thisCheckout(): Checkout {
  const root = path.resolve(import.meta.dirname, '..');
  return { root, sluice: path.join(root, 'bin/sluice'), plugin: path.join(root, 'bin/sluice-cni') };
}
