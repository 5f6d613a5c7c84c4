import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { build } from 'esbuild';
import { librariesOf } from '../../build/notices.mjs';
import { bundle } from '../support/wgdriver.ts';

test('the notices name each library that is bundled, with its licence, and no other', async () => {
  const { metafile } = await build({
    entryPoints: ['src/cli.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    loader: { '.service': 'text', '.socket': 'text' },
    write: false,
    metafile: true,
  });
  const notices = await readFile('dist/NOTICES', 'utf8');
  const sections = notices.split(/^## /m).slice(1);
  assert.deepEqual(
    sections.map((section) => section.split(' ')[0]),
    librariesOf(metafile),
  );
  for (const section of sections) {
    assert.match(section, /^\S+ \d+\.\d+\.\d+ \((MIT|ISC)\)\n/);
    assert.match(section, /copyright/i);
    assert.match(section, /permission|permitted/i);
  }
  assert.match(notices, /^# wgdriver \(MIT\)\n\nMIT License\n\nCopyright \(c\) 2026 the wgdriver authors\n/);
});

test('the bundle ends with the notices', async () => {
  assert((await readFile(bundle, 'utf8')).endsWith(`/*\n${await readFile('dist/NOTICES', 'utf8')}*/\n`));
});
