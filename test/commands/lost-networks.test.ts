import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askMs, engineHas, forgetLostNetworks } from '../../src/commands/lost-networks.ts';
import { createEngine } from '../../src/engine/client.ts';
import type { Network } from '../../src/networks/network.ts';
import { network } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { answers, serveUnix } from '../support/unix-server.ts';

/** @param answersOf what the engine lists at each look; undefined while it does not answer */
async function forgottenOf(
  remembered: Network[],
  answersOf: readonly (readonly string[] | undefined)[],
): Promise<string[]> {
  const forgotten: string[] = [];
  let look = 0;
  await forgetLostNetworks({
    engine: {
      async networks() {
        const ids = answersOf[look++];
        if (ids === undefined) {
          throw new Error('connection refused');
        }
        return ids.map((id) => ({ id })) as Awaited<ReturnType<ReturnType<typeof createEngine>['networks']>>;
      },
    },
    driver: {
      networks: () => [...remembered],
      async forgetNetwork({ networkId }) {
        forgotten.push(networkId);
        return true;
      },
    },
    isOver: new AbortController().signal,
    log: recordedLog(),
    pauseMs: 0,
  });
  return forgotten;
}

const [one, two] = ['one', 'two'].map((networkId) => network({ id: networkId })) as [Network, Network];

test('a network that the engine lacks at two looks is forgotten, once the engine answers', async () => {
  assert.deepEqual(await forgottenOf([one, two], [undefined, ['one'], ['one']]), ['two']);
});

test('one that the engine has by the second look stays', async () => {
  assert.deepEqual(await forgottenOf([one, two], [['one'], ['one', 'two']]), []);
});

test('an engine that has none of them may be another one: all stay', async () => {
  assert.deepEqual(await forgottenOf([one, two], [['another'], ['another']]), []);
  assert.deepEqual(await forgottenOf([one, two], [['one'], []]), []);
});

test('one that came anew between the looks stays', async () => {
  const remembered = [one, two];
  const forgotten = forgottenOf(remembered, [['one'], ['one']]);
  remembered[1] = network({ id: 'two' });
  assert.deepEqual(await forgotten, []);
});

test('an engine’s list, and an engine that is not there', async (t) => {
  const { socketPath } = await serveUnix(t, answers({ '/networks': [{ Id: 'one', Name: 'wgnet' }] }));
  const forgotten: Network[] = [];
  const driver = {
    networks: () => [one, two],
    forgetNetwork: async (seen: Network) => forgotten.push(seen) > 0,
  };
  const log = recordedLog();
  const others = { driver, isOver: new AbortController().signal, log, pauseMs: 0 };
  await forgetLostNetworks({ engine: createEngine('/nowhere/docker.sock'), ...others });
  assert.deepEqual([forgotten, log.lines], [[], []]);
  await forgetLostNetworks({ engine: createEngine(socketPath), ...others });
  assert.deepEqual(forgotten, [two]);
});

test('whether an engine has one network: what it does not say in time is unknown', async (t) => {
  const { socketPath } = await serveUnix(t, (request, response) => {
    if (request.url !== '/networks/slow') {
      const isKnown = request.url === '/networks/one';
      response.statusCode = isKnown ? 200 : request.url === '/networks/two' ? 404 : 500;
      response.end(JSON.stringify(isKnown ? { Id: 'one', Name: 'wgnet', Driver: 'wireguard-plugin' } : {}));
    }
  });
  const engine = createEngine(socketPath, 300);
  assert.equal(await engineHas(engine, 'one'), true);
  assert.equal(await engineHas(engine, 'two'), false);
  assert.equal(await engineHas(engine, 'broken'), undefined);
  assert.equal(await engineHas(engine, 'slow'), undefined);
  assert.equal(await engineHas(createEngine('/nowhere/docker.sock', askMs), 'one'), undefined);
});
