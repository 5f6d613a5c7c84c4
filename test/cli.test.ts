/** How commands are found, helped with and refused, by the bundle itself. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { whyNoPrograms } from './support/fresh-namespace.ts';
import { bundle, wgdriver } from './support/wgdriver.ts';

for (const [line, message] of [
  ['key', 'unknown command key; did you mean keys?'],
  ['bogus --help', 'unknown command bogus; expected one of serve, keys'],
  ['service', 'expected a command after `wgdriver service`: one of install, uninstall'],
  ['service instal', 'unknown command instal; did you mean install?'],
  ['service install --nam=x', 'unknown option --nam; did you mean --name?'],
  ['--log-level debug', 'expected a command before --log-level: one of serve'],
  ['keys sed', 'unknown command sed; did you mean seed?'],
  ['keys seed more', 'unexpected argument more'],
] as const) {
  test(`wgdriver ${line}: refused`, async () => {
    const { status, stdout, stderr } = await wgdriver(line.split(' '));
    assert.deepEqual([status, stdout], [2, '']);
    assert.ok(stderr.startsWith(`wgdriver: ${message}`) && stderr.trimEnd().split('\n').length === 1, stderr);
  });
}

for (const [line, words] of [
  ['--help', /USAGE wgdriver serve\|/],
  ['service install --help', /\(wgdriver service install\).*--name=<NAME>/s],
  ['keys --help', /COMMANDS\s+seed /],
  ['keys seed -h', /\(wgdriver keys seed\)/],
] as const) {
  test(`wgdriver ${line}: help`, async () => {
    const { status, stdout } = await wgdriver(line.split(' '));
    assert.equal(status, 0);
    assert.match(stdout, words);
  });
}

test('output that cannot be written fails loudly', () => {
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', '"$0" "$1" keys seed >/dev/full', process.execPath, bundle],
    {
      encoding: 'utf8',
    },
  );
  assert.deepEqual([status, stderr], [1, 'wgdriver: cannot write to stdout: ENOSPC\n']);
});

test(
  'help is coloured on a terminal, but not where NO_COLOR is set, nor on one that is dumb',
  await whyNoPrograms('script'),
  () => {
    // script(1) gives it a terminal.
    const helpWith = (more: NodeJS.ProcessEnv) =>
      spawnSync(
        'script',
        ['--quiet', '--command', '"$WGDRIVER_NODE" "$WGDRIVER_BUNDLE" keys --help', '/dev/null'],
        {
          encoding: 'utf8',
          input: '',
          env: {
            ...process.env,
            NO_COLOR: '',
            TERM: 'xterm',
            // citty has no colours there.
            CI: undefined,
            TEST: undefined,
            WGDRIVER_NODE: process.execPath,
            WGDRIVER_BUNDLE: bundle,
            ...more,
          },
        },
      ).stdout;
    assert(helpWith({}).includes('\u001b['));
    for (const more of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      const text = helpWith(more);
      assert.match(text, /--seed-file/);
      assert(!text.includes('\u001b'), text);
    }
  },
);
