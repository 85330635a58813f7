/** What the keeper asks of one controller, whichever version of cgroups has it. */
import type { CgroupField, LimitValue } from '../../model/limits.ts';
import type { Shortfall } from '../../model/limits-report.ts';
import type { CgroupLimits } from '../contract.ts';
import type { Journal } from './journal.ts';

/** A container's group in the hierarchy of one controller. */
export interface Place {
  readonly directory: string;
  /** Disks that the container's mounts lie on, as `major:minor`; asked for only where they matter. */
  disks(): Promise<readonly string[]>;
  readonly mayKill: boolean;
}

/** What will be done, after everything was found possible; notes what could not be had while it is done. */
export type Carrying = (journal: Journal, notes: Notes) => Promise<void>;

export interface Driver {
  readonly fields: readonly CgroupField[];
  /** A field that the kernel does not have is absent. */
  read(place: Place): Promise<CgroupLimits>;
  /**
   * Looks at what is there and decides; writes nothing.
   * @param wanted  fields of this driver only
   * @throws SluiceError `kernel_refused` for what can be seen to be impossible
   */
  prepare(place: Place, wanted: CgroupLimits, notes: Notes): Promise<Carrying>;
}

export interface Notes {
  readonly all: readonly Shortfall[];
  add(field: CgroupField, wanted: LimitValue, why: string, kernel?: LimitValue): void;
}

export function openNotes(): Notes {
  const all: Shortfall[] = [];
  return {
    all,
    add(field, wanted, why, kernel): void {
      all.push({ field, wanted, why, ...(kernel !== undefined && { kernel }) });
    },
  };
}
