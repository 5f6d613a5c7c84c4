/** Makes docs/performance.md, and its pictures, of what drivers.ts has measured. */
import { writeFileSync } from 'node:fs';
import { type Spread, spreadOf, table } from './figures.ts';
import { judge, type Measured, targetsOf } from './targets.ts';

interface Bar {
  readonly title: string;
  readonly spread: Spread;
}

interface Picture {
  readonly file: string;
  readonly title: string;
  readonly alt: string;
  readonly unit: string;
  /** How the names of what it shows begin and end; between them stands the title of a bar. */
  readonly of: readonly [before: string, after: string];
}

const pictures: readonly Picture[] = [
  {
    file: 'performance-run.svg',
    title: 'docker run --rm … true',
    alt: 'How long docker run takes on each kind of network',
    unit: 'ms',
    of: ['docker run, ', ', ms'],
  },
  {
    file: 'performance-join.svg',
    title: 'Join, at the socket',
    alt: 'How long Join takes, with the kill switch and without, beside 0.1.0 and the kernel’s own part',
    unit: 'ms',
    of: ['Join, ', ', ms'],
  },
  {
    file: 'performance-processor.svg',
    title: 'Processor time of a container’s life cycle in the driver',
    alt: 'Processor time of a life cycle, with the kill switch and without, beside 0.1.0',
    unit: 'ms',
    of: ['processor time of a life cycle, ', ', ms'],
  },
  {
    file: 'performance-rate.svg',
    title: 'Life cycles a second, with the kill switch',
    alt: 'How many containers a second come and go, one by one and at once, beside 0.1.0',
    unit: '',
    of: ['life cycles a second, ', ''],
  },
  {
    file: 'performance-streams.svg',
    title: 'TCP to the hub',
    alt: 'Throughput of one and eight TCP streams from a container, beside plain WireGuard',
    unit: 'Mbit/s',
    of: ['iperf3, ', ', Mbit/s'],
  },
];

/** @param notes in Markdown, on what was missed and why */
export function writePerformancePage(about: string, measured: Measured, notes: string): void {
  const shown = pictures
    .map((picture) => ({ picture, bars: barsOf(picture, measured) }))
    .filter(({ bars }) => bars.length > 0);
  for (const { picture, bars } of shown) {
    writeFileSync(`docs/${picture.file}`, svgOf(picture, bars));
  }
  const rows = Object.entries(measured).map(([what, all]) => {
    const { median, low, high } = spreadOf(all);
    // Of ratios the first digit says nothing.
    const digits = what.includes(' / ') ? 2 : 1;
    return [
      what,
      String(all.length),
      median.toFixed(digits),
      `${low.toFixed(digits)} to ${high.toFixed(digits)}`,
    ];
  });
  const page = `# What it costs, target by target

\`npm run bench\` makes this page in a guest at the machine’s own speed (User-Mode Linux, one processor), with the
kernel’s WireGuard. Everything is measured in turns in one run, so compare the figures of this page with one another, and not
with another machine’s. [Other figures](bench.md) have a page of their own.

${about}.

${shown.map(({ picture }) => `![${picture.alt}](${picture.file})`).join('\n\n')}

${table(['target', 'at most', 'here', ''], targetsOf(measured).map(judge))}

${notes.trim()}

## All figures

The driver 0.1.0 is built from its commit, with today’s libraries. The floor is what Join and DeleteEndpoint ask of the kernel, as
prebuilt messages sent one after another. Processor time comes in ticks of 10 ms, so the targets take its mean, and the other
figures’ median.

${table(['what', 'times', 'median', 'middle half'], rows)}
`;
  writeFileSync('docs/performance.md', page);
}

function barsOf({ of: [before, after] }: Picture, measured: Measured): Bar[] {
  return Object.entries(measured)
    .filter(([what]) => what.startsWith(before) && what.endsWith(after))
    .map(([what, all]) => ({ title: what.slice(before.length, -after.length), spread: spreadOf(all) }));
}

const rowHeight = 30;
const width = 720;
const labelWidth = 220;
const barWidth = 400;

/** Bars of medians, with a line for the middle half. Text and lines are readable on light and on dark. */
function svgOf({ title, alt, unit }: Picture, bars: readonly Bar[]): string {
  const longest = Math.max(...bars.map(({ spread }) => spread.high));
  const x = (figure: number) => (labelWidth + (figure / longest) * barWidth).toFixed(1);
  const rows = bars.map(({ title: label, spread: { median, low, high } }, index) => {
    const y = 52 + index * rowHeight;
    return `  <text x="${labelWidth - 8}" y="${y + 4}" text-anchor="end">${label}</text>
  <rect x="${labelWidth}" y="${y - 9}" width="${((median / longest) * barWidth).toFixed(1)}" height="18"/>
  <path d="M${x(low)} ${y}H${x(high)}"/>
  <text x="${Number(x(high)) + 8}" y="${y + 4}">${median < 100 ? median.toFixed(1) : median.toFixed(0)} ${unit}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${52 + bars.length * rowHeight}" role="img" aria-label="${alt}">
  <style>
    text { font: 14px sans-serif; fill: #24292f }
    rect { fill: #3b82c4 }
    path { stroke: #24292f; stroke-width: 2 }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } path { stroke: #e6edf3 } }
  </style>
  <text x="8" y="22" font-weight="bold">${title}: median, and a line for the middle half</text>
${rows.join('\n')}
</svg>
`;
}
