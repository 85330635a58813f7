/** Where the native pieces of shared volumes are: the translator, the filter that puts it into clients, and what glusterd is started with. */
import path from 'node:path';
import { ROOT } from './version.ts';

export interface TranslatorPieces {
  readonly object: string;
  readonly filter: string;
  readonly patience: string;
}

export function translatorPieces(): TranslatorPieces {
  return {
    object: path.join(ROOT, 'build', 'sluice-io.so'),
    filter: path.join(ROOT, 'build', 'sluice-volfiles'),
    patience: path.join(ROOT, 'build', 'sluice-patience.so'),
  };
}
