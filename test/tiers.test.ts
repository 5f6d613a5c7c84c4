import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { planTiers, testFiles, tierNames } from './tiers.ts';

const files = [
  'test/commands/keys.test.ts',
  'test/driver/driver.test.ts',
  'test/driver/queue.test.ts',
  'test/driver/uplinks.test.ts',
  'test/faults/engine/kills.test.ts',
  'test/faults/kills.test.ts',
  'test/guests/swarm.test.ts',
  'test/lab/lab.test.ts',
  'test/log.test.ts',
  'test/runtimes/deno.test.ts',
  'test/scenarios/hub-link.test.ts',
  'test/scenarios/refusals.test.ts',
  'test/scenarios/walkthrough.test.ts',
];
const plan = (words: readonly string[], { hasGuests = false, isFull = true } = {}) =>
  Object.fromEntries(planTiers(words, { files, hasGuests, isFull }));

test('no word, in the full run: every tier, with every file in one of them', () => {
  assert.deepEqual(plan([]), {
    unit: ['test/driver/driver.test.ts', 'test/driver/queue.test.ts', 'test/log.test.ts'],
    system: ['test/commands/keys.test.ts', 'test/driver/uplinks.test.ts'],
    faults: ['test/faults/engine/kills.test.ts', 'test/faults/kills.test.ts'],
    engine: [
      'test/scenarios/hub-link.test.ts',
      'test/scenarios/refusals.test.ts',
      'test/scenarios/walkthrough.test.ts',
    ],
    guests: ['test/guests/swarm.test.ts', 'test/lab/lab.test.ts'],
    runtimes: ['test/runtimes/deno.test.ts'],
  });
});

test('several words: tiers, files and folders, in the order of the tiers, each file once', () => {
  assert.deepEqual(plan(['runtimes', 'test/driver', 'test/driver/queue.test.ts', './test/log.test.ts']), {
    unit: ['test/driver/driver.test.ts', 'test/driver/queue.test.ts', 'test/log.test.ts'],
    system: ['test/driver/uplinks.test.ts'],
    runtimes: ['test/runtimes/deno.test.ts'],
  });
  assert.deepEqual(plan(['test/faults/engine/']), { faults: ['test/faults/engine/kills.test.ts'] });
});

test('where there are guests, the engine’s tier is what they do not run, the smoke scenarios, and whichever is named', () => {
  const hasGuests = true;
  assert.deepEqual(plan(['engine'], { hasGuests }), {
    engine: ['test/scenarios/refusals.test.ts', 'test/scenarios/walkthrough.test.ts'],
  });
  assert.deepEqual(plan(['test/scenarios/hub-link.test.ts'], { hasGuests }), {
    engine: ['test/scenarios/hub-link.test.ts'],
  });
});

test('what takes minutes is for the full run, and for whoever names it', () => {
  const isFull = false;
  assert.deepEqual(plan(['faults', 'runtimes', 'test/guests/swarm.test.ts'], { isFull }), {
    faults: ['test/faults/engine/kills.test.ts', 'test/faults/kills.test.ts'],
    guests: ['test/guests/swarm.test.ts'],
    runtimes: ['test/runtimes/deno.test.ts'],
  });
  assert.deepEqual(plan(['test/lab'], { isFull }), { guests: ['test/lab/lab.test.ts'] });
});

test('a word that is nothing of these: an error that names the tiers, and no test runs', () => {
  for (const word of ['units', 'test/driver/none.test.ts', 'test/driv', '', '--fulll', 'src/driver']) {
    assert.throws(() => plan(['unit', word]), { message: new RegExp(`^\`${word}\` is no tier`) });
  }
  const { status, stderr, stdout } = spawnSync(process.execPath, ['test/run.ts', 'units'], {
    encoding: 'utf8',
  });
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^npm test: `units` is no tier, no test file and no folder with test files\. The tiers are:\n/,
  );
  for (const name of tierNames) {
    assert.match(stderr, new RegExp(`^ {2}${name} +\\S`, 'm'));
  }
});

test('the test files of this project are found, and none that only a guest can run', () => {
  const found = testFiles();
  assert(found.includes('test/tiers.test.ts') && found.includes('test/driver/driver.test.ts'));
  assert(!found.some((file) => file.includes('node_modules') || file.includes('inside')));
});
