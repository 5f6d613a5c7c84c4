import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createMarker } from '../../src/state/marker.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-marker-'));
after(() => rmSync(folder, { recursive: true }));

test('what was begun is there until it is ended, for another process too', async () => {
  const path = join(folder, 'reload');
  assert.equal(await createMarker(path).unfinished(), undefined);
  await createMarker(path).begin(['a', 'b']);
  assert.deepEqual(await createMarker(path).unfinished(), ['a', 'b']);
  await createMarker(path).end();
  await createMarker(path).end();
  assert.equal(await createMarker(path).unfinished(), undefined);
});
