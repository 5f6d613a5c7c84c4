import type { Suite } from '../lab/index.ts';
import type { ScenarioOutcome } from './project.ts';

/** What each suite brings, as docs/versions.md says. */
const titles: Readonly<Record<Suite, string>> = {
  bookworm: 'bookworm: engine 20.10, kernel 6.1',
  trixie: 'trixie: engine 26.1, kernel 6.12',
  forky: 'forky: engine 28.5, kernel 7.2',
};

/** A page for the docs: scenario by suite. */
export function resultsPage(outcomes: ReadonlyMap<Suite, readonly ScenarioOutcome[]>, date: Date): string {
  const suites = [...outcomes.keys()];
  const names = [...new Set([...outcomes.values()].flatMap((list) => list.map(({ name }) => name)))];
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const cell = (suite: Suite, name: string) => {
    const outcome = outcomes.get(suite)?.find((candidate) => candidate.name === name);
    if (outcome === undefined) {
      return 'not run';
    }
    const passed = outcome.skipped === undefined ? 'passed' : `not there: ${outcome.skipped}`;
    return outcome.passed ? passed : '**failed**';
  };
  return [
    '# Scenarios with the kernel’s WireGuard',
    '',
    `Written by \`npm run test:full\` on ${date.toISOString().slice(0, 10)}: each scenario of test/scenarios/ in Debian`,
    'guests under QEMU’s emulation, with `--backend iproute`.',
    '',
    row(['scenario', ...suites.map((suite) => titles[suite])]),
    row(['---', ...suites.map(() => '---')]),
    ...names.map((name) => row([name, ...suites.map((suite) => cell(suite, name))])),
    '',
  ].join('\n');
}
