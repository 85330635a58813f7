/**
 * Buckets that several clients of a node draw from together: all that have a volume mounted, all of a tenant. Each is a
 * file that these clients map (docs/translator.md); what it says holds, whoever lives.
 */
import { ensureBucketFile, readBucketRates, writeBucketRates } from '../../linux/shared-bucket-file.ts';
import type { Limits } from '../../model/limits.ts';
import type { SharedBuckets } from '../contract.ts';
import type { ClientOwner } from './client.ts';
import { BURST_MS, limitsOfRates, ratesOf } from './limits-text.ts';

type Owner = Parameters<SharedBuckets['held']>[0];

export interface BucketFiles extends SharedBuckets {
  /** Those that a client draws from, besides its own; they are made where they are missing. */
  filesOf(client: ClientOwner): readonly string[];
}

/** @param clientDir  the directory of clients, which they see, too */
export async function openSharedBuckets(clientDir: string): Promise<BucketFiles> {
  const directory = `${clientDir}/shares`;
  const fileOf = (owner: Owner): string =>
    'volume' in owner ? `${directory}/volume-${owner.volume}` : `${directory}/tenant-${owner.tenant}`;
  const ensured = (owner: Owner): string => {
    const file = fileOf(owner);
    ensureBucketFile(file, BURST_MS);
    return file;
  };
  return {
    filesOf: ({ volume, tenant }) => [ensured({ volume }), ensured({ tenant })],
    async set(owner, limits): Promise<void> {
      writeBucketRates(ensured(owner), ratesOf(limits));
    },
    held(owner): Limits {
      const rates = readBucketRates(fileOf(owner));
      return rates === undefined ? {} : limitsOfRates(rates);
    },
  };
}
