/** Puts the pieces of a byte stream together: in any order, overlapping, repeated; within a fixed amount of memory. */

/** The longest beginning of a stream that is looked at. */
export const LONGEST_BEGINNING = 16_384;
const FIRST_BYTES = 2_048;
/** Holes between pieces that are remembered: an honest network reorders a few packets, not hundreds. */
const MOST_PIECES = 64;

interface Piece {
  readonly start: number;
  readonly end: number;
}

/**
 * What a piece did: `more` bytes at the beginning, `nothing` new there, or it `contradicts` what came before or goes
 * beyond what is kept, so that nobody can know what the other side will read.
 */
export type Added = 'more' | 'nothing' | 'contradiction' | 'too much';

export class Assembly {
  #bytes = Buffer.alloc(FIRST_BYTES);
  /** In order, disjoint and not touching. */
  #pieces: readonly Piece[] = [];

  /** Memory held. */
  get size(): number {
    return this.#bytes.length;
  }

  /** All that has come without a gap since the first byte. */
  beginning(): Buffer {
    const [first] = this.#pieces;
    return this.#bytes.subarray(0, first?.start === 0 ? first.end : 0);
  }

  /** @param at  place of the first byte in the stream, from 0 */
  add(at: number, data: Buffer): Added {
    if (data.length === 0) return 'nothing';
    const end = at + data.length;
    if (at < 0 || end > LONGEST_BEGINNING) return 'too much';
    this.#grow(end);
    if (this.#pieces.some((piece) => this.#contradicts(piece, at, data))) return 'contradiction';
    const before = this.beginning().length;
    data.copy(this.#bytes, at);
    this.#pieces = merged(this.#pieces, { start: at, end });
    if (this.#pieces.length > MOST_PIECES) return 'too much';
    return this.beginning().length > before ? 'more' : 'nothing';
  }

  #contradicts({ start, end }: Piece, at: number, data: Buffer): boolean {
    const from = Math.max(start, at);
    const to = Math.min(end, at + data.length);
    return from < to && this.#bytes.compare(data, from - at, to - at, from, to) !== 0;
  }

  #grow(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.min(LONGEST_BEGINNING, Math.max(2 * this.#bytes.length, bytes)));
    this.#bytes.copy(larger);
    this.#bytes = larger;
  }
}

function merged(pieces: readonly Piece[], { start, end }: Piece): Piece[] {
  const apart = pieces.filter((piece) => piece.end < start || piece.start > end);
  const touching = pieces.filter((piece) => piece.end >= start && piece.start <= end);
  const joined = {
    start: Math.min(start, ...touching.map((piece) => piece.start)),
    end: Math.max(end, ...touching.map((piece) => piece.end)),
  };
  return [...apart, joined].sort((a, b) => a.start - b.start);
}
