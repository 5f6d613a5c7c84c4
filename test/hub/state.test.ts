import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openHubState } from '../../src/hub/state.ts';
import { parseEndpoint } from '../../src/wireguard/device.ts';
import { publicKey, publicKeyTexts } from '../support/hubs.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-hub-state-'));
after(() => rmSync(folder, { recursive: true }));
const [one, two] = publicKeyTexts.map(publicKey) as [
  ReturnType<typeof publicKey>,
  ReturnType<typeof publicKey>,
];

test('what has moved and where peers were is there again, as 0.1 wrote it, too', async () => {
  writeFileSync(join(folder, 'moved'), `${one}\n`);
  writeFileSync(join(folder, 'endpoints'), `${one} [2001:db8::1]:51820\nnonsense\n${two} host.example:1\n`);
  const state = await openHubState(folder);
  assert.deepEqual([...state.moved], [one]);
  assert.deepEqual([...state.endpoints.keys()], [one]);
  await state.saveEndpoints(new Map([[two, parseEndpoint('192.0.2.1:4500') ?? assert.fail()]]));
  await state.addMoved([two]);
  const again = await openHubState(folder);
  const written = statSync(join(folder, 'endpoints'));
  await again.saveEndpoints(new Map(again.endpoints));
  assert.equal(statSync(join(folder, 'endpoints')).ino, written.ino);
  assert.deepEqual([...again.moved], [one, two]);
  assert.equal(again.endpoints.get(two)?.port, 4500);
  await again.keepMoved(new Set([two]));
  assert.deepEqual([...(await openHubState(folder)).moved], [two]);
});

test('half a line that a power cut has left takes no other with it', async () => {
  appendFileSync(join(folder, 'moved'), one.slice(0, 20));
  const state = await openHubState(folder);
  await state.addMoved([one]);
  assert.deepEqual([...(await openHubState(folder)).moved], [two, one]);
  assert(readFileSync(join(folder, 'moved'), 'utf8').endsWith(`${one}\n`));
});
