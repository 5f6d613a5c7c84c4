import { formatValue, type Labels, type Sample } from './text.ts';

/** Counts observations, for each set of labels, by upper bounds. What it holds grows with the sets of labels alone. */
export interface Histogram {
  observe(labels: Labels, value: number): void;
  /** For each set of labels: `_bucket` with `le`, `_sum` and `_count`. */
  samples(): Sample[];
}

/** @param bounds upper bounds that rise; `+Inf` comes by itself */
export function createHistogram(bounds: readonly number[]): Histogram {
  const series = new Map<string, { labels: Labels; counts: number[]; sum: number }>();
  return {
    observe(labels, value) {
      const key = JSON.stringify(labels);
      let one = series.get(key);
      if (one === undefined) {
        one = { labels, counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 };
        series.set(key, one);
      }
      const index = bounds.findIndex((bound) => value <= bound);
      const at = index === -1 ? bounds.length : index;
      one.counts[at] = (one.counts[at] ?? 0) + 1;
      one.sum += value;
    },

    samples() {
      return [...series.values()].flatMap(({ labels, counts, sum }) => {
        let count = 0;
        const buckets = counts.map((own, index): Sample => {
          count += own;
          const le = formatValue(bounds[index] ?? Number.POSITIVE_INFINITY);
          return { suffix: '_bucket', labels: { ...labels, le }, value: count };
        });
        return [
          ...buckets,
          { suffix: '_sum', labels, value: sum },
          { suffix: '_count', labels, value: count },
        ];
      });
    },
  };
}
