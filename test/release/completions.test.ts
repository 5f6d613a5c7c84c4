/** The completions, loaded by the shells that they are for. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bashCompletion, fishCompletion, zshCompletion } from '../../build/release/completions.ts';
import { referenceOf } from '../../src/commands/reference.ts';
import { example } from './example.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-completions-'));
after(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function missing(shell: string): string | false {
  return spawnSync(shell, ['--version']).status === 0 ? false : `${shell} is not here`;
}

/** Command lines up to the word to complete, and what it may become. */
const completions = [
  ['wgdriver ', ['keys', 'doctor', '--help']],
  ['wgdriver k', ['keys']],
  ['wgdriver keys s', ['seed']],
  ['wgdriver keys --f', ['--format']],
  ['wgdriver keys --format r', ['raw']],
  ['wgdriver doctor --p', ['--private']],
  ['wgdriver doctor --format ', ['text', 'svg']],
] as const;

test('bash', { skip: missing('bash') }, () => {
  const file = fileOf('bash', bashCompletion(example));
  for (const [line, expected] of completions) {
    const words = line.split(' ');
    const script = `. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _wgdriver; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', file, ...words], {
      encoding: 'utf8',
    });
    assert.deepEqual([stderr, stdout.trim().split('\n')], ['', expected], line);
  }
});

test('bash takes an option and its value apart at the equals sign', { skip: missing('bash') }, () => {
  const file = fileOf('bash', bashCompletion(example));
  const script = `. "$1"; COMP_WORDS=(wgdriver keys --format = j); COMP_CWORD=4; _wgdriver; echo "\${COMPREPLY[@]}"`;
  assert.equal(spawnSync('bash', ['-c', script, 'bash', file], { encoding: 'utf8' }).stdout, 'json\n');
});

test('only words that can be typed as they stand', async () => {
  const args = {
    metrics: { type: 'string', valueHint: 'ADDRESS:PORT|unix:PATH' },
    scope: { type: 'string', valueHint: 'local|global' },
  } as const;
  const { options } = await referenceOf({ args });
  assert.deepEqual(
    options.map(({ words }) => words),
    [[], ['local', 'global']],
  );
});

test('fish', { skip: missing('fish') }, () => {
  const file = fileOf('fish', fishCompletion(example));
  for (const [line, expected] of completions) {
    const script = `source ${file}; complete -C '${line}'`;
    const env = { ...process.env, HOME: folder };
    const { stdout, stderr } = spawnSync('fish', ['--no-config', '-c', script], { encoding: 'utf8', env });
    const found = stdout.split('\n').map((row) => row.split('\t')[0] ?? '');
    assert.equal(stderr, '');
    // It offers its own `-h` and files where nothing else fits, and in an order of its own.
    for (const word of expected.filter((each) => line !== 'wgdriver ' || each !== '--help')) {
      assert.ok(found.includes(word), `${line}: ${word} is not among ${found.join(' ')}`);
    }
  }
});

test('zsh', { skip: missing('zsh') }, () => {
  const file = fileOf('_wgdriver', zshCompletion(example));
  const { stderr, status } = spawnSync('zsh', ['--no-rcs', '-n', file], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, '']);
});
