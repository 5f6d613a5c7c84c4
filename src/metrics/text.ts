/**
 * Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
 */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** `_bucket`, `_sum` or `_count`, in a histogram. */
  readonly suffix?: string;
}

/** What Prometheus' documents call a metric family. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

/**
 * @returns the metrics in their order; one without samples is its HELP and TYPE. Of samples with the same name and
 * labels the first counts: Prometheus would refuse the whole text for the second.
 * @throws TypeError for a name that Prometheus does not allow, since names are never a user's
 */
export function formatMetrics(metrics: readonly Metric[]): string {
  return metrics.map(formatMetric).join('');
}

function formatMetric({ name, help, type, samples }: Metric): string {
  expectName(name, /^[a-zA-Z_:][a-zA-Z0-9_:]*$/, 'metric');
  const values = new Map<string, number>();
  for (const { labels, value, suffix = '' } of samples) {
    const series = `${name}${suffix}${formatLabels(labels)}`;
    if (!values.has(series)) {
      values.set(series, value);
    }
  }
  const lines = [...values].map(([series, value]) => `${series} ${formatValue(value)}\n`);
  return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function formatLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    expectName(name, /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/, 'label');
    return `${name}="${escaped(value).replaceAll('"', '\\"')}"`;
  });
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** Half a surrogate pair has no UTF-8, and becomes U+FFFD here as it would on the wire. */
function escaped(text: string): string {
  return text
    .replaceAll(/\p{Surrogate}/gu, '\ufffd')
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n');
}

/** As Go's ParseFloat reads it. */
export function formatValue(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}

function expectName(name: string, allowed: RegExp, what: string): void {
  if (!allowed.test(name)) {
    throw new TypeError(`"${name}" is no name of a ${what}: expected ${allowed.source}`);
  }
}
