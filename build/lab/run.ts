/**
 * Runs test files, or a script, in a guest of its own:
 *
 *   node build/lab/run.ts SUITE [--driver NAME] [--kernel debian] [--first-release] [--pattern REGEX] FILE…
 *   node build/lab/run.ts SUITE [--kernel debian] --script 'ip -d link'
 *
 * The guest has the project as it is here, so `npm run build` comes first. The driver is netlink by the bundle on
 * Node unless told: `iproute` is the bundle as well, `exe` and `deno` are netlink in other wrappings. With
 * `--first-release` the tests that know what to do with 0.1.0 have its bundle; `--pattern` names some of the tests.
 */
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleOfFirstRelease } from '../first-release.ts';
import { drivers, type GuestDriver } from './drivers.ts';
import { openLab, SUITES } from './index.ts';
import { projectFiles, projectFolder, scenarioScript, sourceFiles } from './project.ts';

const choices: Readonly<Record<string, GuestDriver>> = {
  node: { files: {}, env: { WGDRIVER_TEST_BACKEND: 'netlink' } },
  iproute: drivers['iproute on Node'],
  exe: drivers['netlink on the executable'],
  deno: drivers['netlink on Deno'],
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    driver: { type: 'string', default: 'node' },
    kernel: { type: 'string' },
    pattern: { type: 'string' },
    'first-release': { type: 'boolean', default: false },
    script: { type: 'string' },
  },
});
const [suiteName, ...files] = positionals;
const suite = SUITES.find((name) => name === suiteName);
const driver = choices[values.driver];
const kernel = values.kernel === 'debian' ? values.kernel : undefined;
if (
  suite === undefined ||
  driver === undefined ||
  kernel !== values.kernel ||
  files.length > 0 === (values.script !== undefined)
) {
  console.error(
    `usage: node build/lab/run.ts ${SUITES.join('|')} [--driver ${Object.keys(choices).join('|')}] [--kernel debian] FILE…|--script SCRIPT`,
  );
  process.exit(2);
}

// A test of src/ is where its folder is, and takes what is beside it.
const folders = new Set(files.map(dirname).concat('test/support'));
const tests = Object.fromEntries([...folders].map((path) => [`${projectFolder}/${path}`, resolve(path)]));
const old = values['first-release'] ? bundleOfFirstRelease() : undefined;
const oldFile = '/root/wgdriver-0.1.0.mjs';
const env = { ...driver.env, ...(old && { WGDRIVER_TEST_BUNDLE_0_1_0: oldFile }) };
const only = values.pattern === undefined ? [] : [`'--test-name-pattern=${values.pattern}'`];
const lab = await openLab(kernel ? { kernel } : {});
try {
  const started = performance.now();
  const guest = await lab.boot({
    suite,
    kernel,
    cpus: 1,
    files: { ...projectFiles, ...sourceFiles, ...driver.files, ...tests, ...(old && { [oldFile]: old }) },
  });
  console.error(`--- ${suite}, ${guest.kernel} kernel, ready in ${seconds(started)}`);
  const { status } = await guest.exec(values.script ?? scenarioScript([...only, ...files], env), {
    timeoutSeconds: 7200,
    onOutput: (chunk) => process.stdout.write(chunk),
  });
  console.error(`--- status ${status} after ${seconds(started)}`);
  process.exitCode = status;
} finally {
  await lab.close();
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
