/** What the server's configuration says of volumes. */
import type { Config } from '../../model/config.ts';
import { millisecondsOf } from '../../model/duration.ts';

export interface VolumeRules {
  /** How long a deleted volume's data is kept; 0: not at all. */
  readonly keepDeletedMs: number;
  /** How many times its room a pool may promise to thin volumes. */
  readonly overcommit: number;
}

export function volumeRules({ keepDeleted, overcommit }: Config['storage']): VolumeRules {
  return { keepDeletedMs: millisecondsOf(keepDeleted), overcommit };
}
