import { type Median, medianRatio, spreadOf } from './figures.ts';

/** All figures of one run, by what was measured. */
export type Measured = Record<string, readonly number[]>;

export interface Target {
  readonly what: string;
  readonly atMost: number;
  readonly unit: '' | ' MB';
  /** Not a number where something was not measured, as without a bundle of 0.1.0. */
  readonly here: number | Median;
}

/** The targets of what drivers.ts measures. */
export function targetsOf(measured: Measured): readonly Target[] {
  const all = (what: string) => measured[what] ?? [];
  const median = (what: string) => spreadOf(all(what)).median;
  // Of ticks only the sum of many tells something.
  const mean = (what: string) => all(what).reduce((sum, figure) => sum + figure, 0) / all(what).length;
  const runs = (one: string, other: string) =>
    medianRatio(all(`docker run, ${one}, ms`), all(`docker run, ${other}, ms`));
  const on = 'now, killswitch=on, ms';
  const off = 'now, killswitch=off, ms';
  const old = '0.1.0, killswitch=off, ms';
  const cycle = 'processor time of a life cycle';
  const ratios = {
    'Join, on / off': [1.3, median(`Join, ${on}`) / median(`Join, ${off}`)],
    'DeleteEndpoint, on / off': [1.15, median(`DeleteEndpoint, ${on}`) / median(`DeleteEndpoint, ${off}`)],
    'processor time of a life cycle, on / off': [1.3, mean(`${cycle}, ${on}`) / mean(`${cycle}, ${off}`)],
    'docker run, on / off, round by round': [1.02, runs('ours, killswitch=on', 'ours, killswitch=off')],
    'docker run, on / floor, round by round': [1.02, runs('ours, killswitch=on', 'floor')],
    'docker run, off / floor, round by round': [1.02, runs('ours, killswitch=off', 'floor')],
    'CreateEndpoint / 0.1.0': [0.5, median(`CreateEndpoint, ${off}`) / median(`CreateEndpoint, ${old}`)],
    'CreateEndpoint, 8 at once / one': [
      2,
      median('CreateEndpoint, 8 at once, now, ms') / median(`CreateEndpoint, ${off}`),
    ],
    'Join, off / (floor + empty call)': [
      1.5,
      median(`Join, ${off}`) / (median('Join, floor, ms') + median(`EndpointOperInfo, ${off}`)),
    ],
    'empty call / 0.1.0': [0.7, median(`EndpointOperInfo, ${off}`) / median(`EndpointOperInfo, ${old}`)],
    'processor time of a life cycle, off / 0.1.0': [0.5, mean(`${cycle}, ${off}`) / mean(`${cycle}, ${old}`)],
    'processor time of a life cycle, on / 0.1.0': [
      0.5,
      mean(`${cycle}, ${on}`) / mean(`${cycle}, 0.1.0, killswitch=on, ms`),
    ],
    'start to the socket / node -e 0': [3, median('start to the socket, ms') / median('node -e 0, ms')],
  } as const;
  const idle = median('memory of serve, idle, MB');
  const joined = Object.keys(measured).find((what) => /^memory of serve, \d+ joined, MB$/.test(what)) ?? '';
  const memory = {
    'memory, idle, above a bare node:http server': [
      12,
      idle - median('memory of a bare node:http server, MB'),
    ],
    [`memory, ${/\d+/.exec(joined)?.[0] ?? 'many'} joined, above idle`]: [15, median(joined) - idle],
  } as const;
  return [
    ...Object.entries(ratios).map(([what, [atMost, here]]) => ({ what, atMost, here, unit: '' as const })),
    ...Object.entries(memory).map(([what, [atMost, here]]) => ({ what, atMost, here, unit: ' MB' as const })),
  ];
}

/** A row of a table: a target, its limit, what was measured, and whether that is met. */
export function judge({ what, atMost, here, unit }: Target): string[] {
  const middle = typeof here === 'number' ? here : here.median;
  if (Number.isNaN(middle)) {
    return [what, `${atMost}${unit}`, '–', 'not measured'];
  }
  const interval =
    typeof here === 'number' ? '' : ` (95 %: ${here.low.toFixed(2)} to ${here.high.toFixed(2)})`;
  return [
    what,
    `${atMost}${unit}`,
    `${middle.toFixed(2)}${unit}${interval}`,
    middle <= atMost ? 'met' : '**missed**',
  ];
}
