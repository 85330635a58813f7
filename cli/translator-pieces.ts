/** Where the native pieces of shared volumes are: the translator, and the filter that puts it into clients. */
import path from 'node:path';
import { ROOT } from './version.ts';

export interface TranslatorPieces {
  readonly object: string;
  readonly filter: string;
}

export function translatorPieces(): TranslatorPieces {
  return {
    object: path.join(ROOT, 'build', 'sluice-io.so'),
    filter: path.join(ROOT, 'storaged', 'translator', 'filter.sh'),
  };
}
