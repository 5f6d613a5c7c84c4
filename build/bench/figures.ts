/** Figures that were measured again and again; noisy machines make anything but their middle meaningless. */
export interface Spread {
  readonly median: number;
  /** The bounds of the middle half. */
  readonly low: number;
  readonly high: number;
  readonly least: number;
  readonly most: number;
}

export function spreadOf(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { median: at(0.5), low: at(0.25), high: at(0.75), least: at(0), most: at(1) };
}

/** The median of a list, and between what it lies with 95 % certainty: by the order of the figures (binomial), whatever their shape. */
export interface Median {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Of ratios of figures that were measured side by side, round by round. */
export function medianRatio(above: readonly number[], below: readonly number[]): Median {
  const ratios = above.map((figure, round) => figure / (below[round] ?? Number.NaN)).sort((a, b) => a - b);
  const count = ratios.length;
  // So many figures at each end lie beyond the median with a chance of at most 2.5 %.
  let beyond = 0;
  let ways = 1;
  for (let chance = 0.5 ** count; chance <= 0.025; chance += ways * 0.5 ** count) {
    beyond += 1;
    ways = (ways * (count - beyond + 1)) / beyond;
  }
  const at = (index: number) => ratios[index] ?? Number.NaN;
  return {
    median: at(Math.floor(count / 2)),
    low: at(Math.max(0, beyond - 1)),
    high: at(Math.min(count - 1, count - beyond)),
  };
}

/** A table in Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
