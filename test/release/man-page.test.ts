import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { manPage, manPageName } from '../../build/release/man-page.ts';
import type { CommandReference } from '../../src/commands/reference.ts';
import { example } from './example.ts';

test('a page is named as it is called', () => {
  assert.equal(manPageName(example.subCommands[0] as CommandReference), 'wgdriver-keys');
});

test('a page has every section that it has something for, in the order of man-pages(7)', () => {
  const page = manPage(example.subCommands[0] as CommandReference, '1.2.3', '2026-11-26');
  assert.deepEqual(
    [...page.matchAll(/^\.SH (.*)$/gm)].map(([, title]) => title),
    ['NAME', 'SYNOPSIS', 'COMMANDS', 'ARGUMENTS', 'OPTIONS', 'EXIT STATUS', 'SEE ALSO'],
  );
  assert.match(page, /^\.TH WGDRIVER-KEYS 1 2026-11-26 "wgdriver 1\.2\.3" "wgdriver manual"$/m);
});

test('a command that others are below is called in two ways', () => {
  const page = manPage(example.subCommands[0] as CommandReference, '1.2.3', '2026-11-26');
  assert.match(
    page,
    /\n\.B wgdriver keys\n.*\n\[\\fIADDRESS\.\.\.\\fR\]\n\.br\n\.B wgdriver keys\n\\fICOMMAND/,
  );
});

test('what roff takes for itself is escaped', () => {
  const page = manPage({ ...example, description: ".dot and 'quote\n\\back-slash" }, '1', '2026-11-26');
  assert.match(page, /\\&\.dot and 'quote\n\\eback\\-slash/);
});

const hasGroff = spawnSync('groff', ['--version']).status === 0;

test('groff has nothing to say of a page, and prints it', { skip: !hasGroff && 'groff is not here' }, () => {
  for (const command of [example, ...example.subCommands]) {
    const page = manPage(command, '1.2.3', '2026-11-26');
    const { stdout, stderr, status } = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-P-cbou'], {
      input: page,
      encoding: 'utf8',
    });
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /--help/);
  }
});
