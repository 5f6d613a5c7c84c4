import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tellStranded } from '../../src/commands/tell-stranded.ts';
import { createEngine } from '../../src/engine/client.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { answers, serveUnix } from '../support/unix-server.ts';

const driver = 'wireguard-plugin';

test('five containers of a boot without the driver are named, with what to run', async (t) => {
  const names = ['one', 'two', 'three', 'four', 'five'];
  const Networks = { wgnet: { NetworkID: 'n1' } };
  const cause = 'failed to create endpoint on network wgnet: dial unix: connect: no such file or directory';
  const bodies = names.map((name) => [
    `/containers/${name}/json`,
    { Id: name, Name: `/${name}`, State: { Error: cause } },
  ]);
  const { socketPath } = await serveUnix(
    t,
    answers({
      '/networks': [{ Id: 'n1', Name: 'wgnet', Driver: driver }],
      '/containers/json': names.map((Id) => ({ Id, State: 'exited', NetworkSettings: { Networks } })),
      ...Object.fromEntries(bodies),
    }),
  );
  const log = recordedLog();
  const { signal } = new AbortController();
  await tellStranded({ engine: createEngine(socketPath), driver, isOver: signal, log, delayMs: 0 });
  const [line] = log.lines;
  assert.equal(line?.level, 'warn');
  assert.equal(line?.fields.run, 'docker start one two three four five');
});

test('without an engine, and for a driver that ends meanwhile, nothing is said', async () => {
  const log = recordedLog();
  const { signal } = new AbortController();
  const engine = createEngine('/nowhere/docker.sock');
  await tellStranded({ engine, driver, isOver: signal, log, delayMs: 0 });
  await tellStranded({ engine, driver, isOver: AbortSignal.abort(), log });
  assert.deepEqual(log.lines, []);
});
