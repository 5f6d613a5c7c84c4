/** How commands are found, helped with and refused, by the bundle itself. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { whyNoPrograms } from './support/fresh-namespace.ts';
import { bundle, wgdriver } from './support/wgdriver.ts';

for (const [line, message] of [
  ['key', 'unknown command key; did you mean keys?'],
  ['bogus --help', 'unknown command bogus; expected one of serve, keys'],
  ['service', 'expected a command after `wgdriver service`: one of install, uninstall'],
  ['service instal', 'unknown command instal; did you mean install?'],
  ['service install --nam=x', 'unknown option --nam; did you mean --name?'],
  ['--log-level debug', 'expected a command before the option --log-level: one of serve'],
  ['--hepl', 'expected a command before the option --hepl; did you mean --help?'],
  ['doctor --hepl', 'unknown option --hepl; did you mean --help?'],
  ['version', 'unknown command version; did you mean --version?'],
  ['help bogus', 'unknown command bogus; expected one of serve, keys'],
  ['keys sed', 'unknown command sed; did you mean seed?'],
  ['keys seed more', 'unexpected argument more'],
  // A seed that was typed without a space or =.
  ['keys --seedc2VjcmV0U2VlZHNlY3JldA==', 'unknown option of 28 characters'],
  ['keys --seed:c2VjcmV0U2VlZHNlY3JldA==', 'unknown option of 29 characters'],
  ['--seed:c2VjcmV0U2VlZHNlY3JldA==', 'expected a command before the option of 31 characters'],
  ['keys c2VjcmV0U2VlZHNlY3JldA==', 'a word of 24 characters: expected an address'],
  ['keys seed c2VjcmV0U2VlZHNlY3JldA==', 'unexpected argument of 24 characters'],
  ['c2VjcmV0U2VlZHNlY3JldA==', 'unknown command of 24 characters; expected one of'],
] as const) {
  test(`wgdriver ${line}: refused`, async () => {
    const { status, stdout, stderr } = await wgdriver(line.split(' '));
    assert.deepEqual([status, stdout], [2, '']);
    assert.ok(stderr.startsWith(`wgdriver: ${message}`) && stderr.trimEnd().split('\n').length === 1, stderr);
  });
}

for (const [line, words] of [
  ['--help', /USAGE\n {2}wgdriver COMMAND\n\nCOMMANDS\n {2}serve /],
  ['service install --help', /USAGE\n {2}wgdriver service install \[OPTIONS\].*--name=NAME/s],
  ['keys --help', /COMMANDS\n {2}seed /],
  ['help', /USAGE\n {2}wgdriver COMMAND\n/],
  ['help service', /USAGE\n {2}wgdriver service COMMAND\n/],
  ['help service install', /USAGE\n {2}wgdriver service install \[OPTIONS\]/],
  ['keys seed -h', /USAGE\n {2}wgdriver keys seed\n/],
] as const) {
  test(`wgdriver ${line}: help`, async () => {
    const { status, stdout } = await wgdriver(line.split(' '));
    assert.equal(status, 0);
    assert.match(stdout, words);
  });
}

const seed = '--seed dGVzdHNlZWQgdGhhdCBpcyBsb25nIGVub3VnaA==';
const client = `client-config ${seed} --hub-key SBxETZYfRMTEFZDfeFD79rEjMNdIp9Pxz0jJ7pLkJUk= --endpoint hub:1 192.168.5.9`;

for (const line of [
  '--help',
  'keys seed',
  `keys ${seed} --format json 192.168.5.0/24`,
  `endpoint-config ${seed} 192.168.5.0/24`,
  client,
  `${client} --qr`,
  'doctor --docker-socket /nowhere/docker.sock',
]) {
  test(`output that cannot be written fails loudly: wgdriver ${line}`, () => {
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', '"$@" >/dev/full', 'sh', process.execPath, bundle, ...line.split(' ')],
      { encoding: 'utf8' },
    );
    assert.match(stderr, /^wgdriver: cannot write to stdout: no space is left \(ENOSPC\)\n$/m);
    assert.equal(status, 1);
  });
}

for (const [line, message] of [
  [`endpoint-config ${seed} --output /dev/full 192.168.5.0/24`, '/dev/full: no space is left (ENOSPC)'],
  [`${client} --output /nowhere/x.conf`, '/nowhere/x.conf: its folder does not exist (ENOENT)'],
  [`${client} --output /dev`, '/dev: it is a folder (EISDIR)'],
] as const) {
  test(`a file that cannot be written: wgdriver ${line}`, async () => {
    const { status, stderr } = await wgdriver(line.split(' '));
    assert.ok(stderr.includes(`wgdriver: cannot write ${message}\n`), stderr);
    assert.equal(status, 1);
  });
}

test('a hub’s file to keep that is not there', async () => {
  const { status, stderr } = await wgdriver(
    `endpoint-config ${seed} --keep /nowhere/wg0.conf 192.168.5.0/24`.split(' '),
  );
  assert.match(stderr, /^wgdriver: \/nowhere\/wg0\.conf: there is no such file \(ENOENT\)\n$/m);
  assert.equal(status, 1);
});

test('the help of every command fits 80 columns where no terminal tells its width', async () => {
  const refuseWider = async (words: readonly string[]): Promise<void> => {
    const { stdout } = await wgdriver([...words, '--help']);
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.length > 80),
      [],
    );
    for (const [, name = ''] of stdout.matchAll(/^ {2}([a-z][a-z-]*) {2}/gm)) {
      await refuseWider([...words, name]);
    }
  };
  await refuseWider([]);
});

test(
  'help is as wide as the terminal and coloured, but not where NO_COLOR is set, nor on one that is dumb',
  await whyNoPrograms('script'),
  () => {
    const helpWith = (more: NodeJS.ProcessEnv) => onTerminal('keys --help', 60, more);
    assert(helpWith({}).includes('\u001b['));
    for (const more of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      const text = helpWith(more);
      assert.match(text, /--seed-file/);
      assert(!text.includes('\u001b'), text);
      const width = Math.max(...text.split('\r\n').map((line) => line.length));
      assert(width > 50 && width <= 60, text);
    }
  },
);

test(
  'what doctor finds is as wide as the terminal, and a line each on a pipe',
  await whyNoPrograms('script'),
  async () => {
    const line = 'doctor --docker-socket /nowhere/docker.sock --socket /nowhere/wgdriver.sock';
    const text = stripVTControlCharacters(onTerminal(line, 60)).trimEnd();
    assert.match(text, /^fail {2}engine .*\r\n {27}exist\r\n {27}fix: /m);
    assert.deepEqual(
      text.split('\r\n').filter((each) => each.length > 60 && each.slice(27).includes(' ')),
      [],
    );
    const { stdout } = await wgdriver(line.split(' '));
    assert.match(stdout, /^fail {2}engine .* does not exist\n {27}fix: .*\n\S/m);
  },
);

/** What a command prints on a terminal of that width, which script(1) gives it. */
function onTerminal(line: string, columns: number, more: NodeJS.ProcessEnv = {}): string {
  const command = `stty columns ${columns}; "$WGDRIVER_NODE" "$WGDRIVER_BUNDLE" ${line}`;
  return spawnSync('script', ['--quiet', '--command', command, '/dev/null'], {
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
  }).stdout;
}
