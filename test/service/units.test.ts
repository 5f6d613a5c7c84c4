// The unit files, as `wgdriver service install` and `wgdriver hub install` write them.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';

const folder = new URL('../../build/systemd/', import.meta.url);

test('no service leaves a core with keys in it', async () => {
  const services = (await readdir(folder)).filter((name) => name.endsWith('.service'));
  assert.equal(services.length, 3);
  for (const name of services) {
    assert.match(await readFile(new URL(name, folder), 'utf8'), /^LimitCORE=0$/m, name);
  }
});
