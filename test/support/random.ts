/** Pseudo-random choices, the same for the same seed. */
export interface Random {
  /** From 0 to less than `end`. */
  below(end: number): number;
  pick<Value>(values: readonly Value[]): Value;
  /** True in so many of a hundred cases. */
  percent(share: number): boolean;
}

/** By mulberry32: 32 bits of state are enough to be told a seed by. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  const below = (end: number) => Math.floor(next() * end);
  return {
    below,
    pick: <Value>(values: readonly Value[]) => values[below(values.length)] as Value,
    percent: (share) => next() * 100 < share,
  };
}
