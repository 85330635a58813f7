/** The little statistics that benchmarks need: all over samples in any order, none of them changed. */

/** @throws RangeError for no samples */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  // Nearest rank: an answer that was measured, not one in between.
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  const found = sorted[rank - 1];
  if (found === undefined) throw new RangeError('there is nothing to take a percentile of');
  return found;
}

/** The middle, or the mean of the two in the middle. @throws RangeError for no samples */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new RangeError('there is no median of nothing');
  return (lower + upper) / 2;
}

/**
 * Round by round, so that what slowed a whole round down cancels out.
 * @throws RangeError when the lists differ in length, or a baseline is not positive
 */
export function ratios(ours: readonly number[], baseline: readonly number[]): number[] {
  if (ours.length !== baseline.length) throw new RangeError('each round needs both');
  return ours.map((own, round) => {
    const other = baseline[round];
    if (other === undefined || !(other > 0)) throw new RangeError(`round ${round} has no baseline`);
    return own / other;
  });
}

/** To `digits` significant digits, which is more than any of this can be measured to. */
export function rounded(value: number, digits = 4): number {
  return Number(value.toPrecision(digits));
}
