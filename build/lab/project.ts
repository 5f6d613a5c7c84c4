import { resolve } from 'node:path';
import type { GuestFiles } from './index.ts';

/** Where the project is in a guest: as much of it as scenarios need, and no libraries. */
export const projectFolder = '/root/wgdriver';

/** What a guest needs to run scenarios: the Node that runs this, the bundle and the tests. */
export const projectFiles: GuestFiles = {
  '/usr/local/bin/node': process.execPath,
  ...Object.fromEntries(
    [
      'package.json',
      'README.md',
      'dist/wgdriver',
      'compose-examples',
      'docs/compose.md',
      'docs/conf-file.md',
      'docs/leaks.md',
      'docs/tutorial.md',
      'src/engine',
      'build/host',
      'test/scenarios',
      'test/killswitch',
      'build/bench',
    ].map((path) => [`${projectFolder}/${path}`, resolve(path)]),
  ),
};

/** The sources of the driver, and the libraries that they take, for what looks beneath the bundle. */
export const sourceFiles: GuestFiles = Object.fromEntries(
  [
    'src',
    'test/support',
    'node_modules/ipaddr.js',
    'node_modules/valibot',
    'node_modules/@noble',
    'node_modules/consola',
    'node_modules/yaml',
    'node_modules/write-file-atomic',
    'node_modules/imurmurhash',
    'node_modules/signal-exit',
  ].map((path) => [`${projectFolder}/${path}`, resolve(path)]),
);

export interface ScenarioOutcome {
  readonly name: string;
  readonly passed: boolean;
  /** Why it was skipped, if it was; it counts as passed. */
  readonly skipped?: string;
}

const report = '/root/report.tap';

/**
 * A script for a guest that runs scenario files, all in one process and so on one engine: each start of an
 * engine costs an emulated machine 15 seconds.
 * @param env as of a GuestDriver
 */
export function scenarioScript(files: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const reporters = [
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=tap',
    `--test-reporter-destination=${report}`,
  ];
  const isFull = process.env.WGDRIVER_TEST_FULL === undefined ? {} : { WGDRIVER_TEST_FULL: '1' };
  const settings = Object.entries({ ...env, ...isFull }).map(([name, value]) => `${name}=${value} `);
  // A guest has no resolv.conf, and a scenario mounts its own over what is there.
  const prepare = `cd ${projectFolder} && touch /etc/resolv.conf`;
  return `${prepare} && ${settings.join('')}node --test --test-isolation=none ${reporters.join(' ')} ${files.join(' ')}`;
}

export const reportFile = report;

/** The outcome of each scenario from a report in TAP. */
export function parseReport(tap: string): ScenarioOutcome[] {
  const lines = tap.matchAll(/^(not ok|ok) \d+ - (.*?)(?: # (?:SKIP (.*)|.*))?$/gm);
  return [...lines].map(([, verdict, name = '', skipped]) => ({
    name: name.replaceAll('\\#', '#'),
    passed: verdict === 'ok',
    ...(skipped === undefined ? {} : { skipped }),
  }));
}

/** What Node's spec reporter says of failures, at the end of all that it printed; the last lines if it says nothing. */
export function failures(output: string): string {
  const summary = output.lastIndexOf('failing tests:');
  return summary === -1 ? output.slice(-4000) : output.slice(summary).slice(0, 8000);
}
