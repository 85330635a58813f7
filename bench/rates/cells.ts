/** Which limits have to be measured, and how, for the rows that are wanted. */
import type { RowId } from '../catalogue.ts';

/** In bits of frames a second. */
export const RATES = { '10Mbit': 1e7, '100Mbit': 1e8, '1Gbit': 1e9, '5Gbit': 5e9 } as const;
export type Rate = keyof typeof RATES;
/** From the limited container's point of view. */
export type Direction = 'in' | 'out';
export type Protocol = 'tcp' | 'udp';
export type Distance = 'samehost' | 'twohosts';

/** One way in which a rate is measured. */
export interface Cell {
  readonly rate: Rate;
  readonly direction: Direction;
  readonly protocol: Protocol;
  readonly distance: Distance;
}

export const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp'];
export const DISTANCES: readonly Distance[] = ['samehost', 'twohosts'];
const DIRECTIONS: readonly Direction[] = ['in', 'out'];

/** Every cell serves two rows: that of its direction, and that of the first second. */
export function rowsOf({ rate, direction }: Cell): RowId[] {
  return [`P7.${direction}.${rate}`, `P7.first.${rate}`];
}

/** The cells that some wanted row needs, slow rates first. */
export function planCells(wanted: ReadonlySet<RowId>): Cell[] {
  const rates = Object.keys(RATES) as Rate[];
  const all = rates.flatMap((rate) =>
    DIRECTIONS.flatMap((direction) =>
      PROTOCOLS.flatMap((protocol) =>
        DISTANCES.map((distance): Cell => ({ rate, direction, protocol, distance })),
      ),
    ),
  );
  return all.filter((cell) => rowsOf(cell).some((id) => wanted.has(id)));
}

export function nameOf({ rate, direction, protocol, distance }: Cell): string {
  return `${rate} ${direction} ${protocol} ${distance}`;
}
