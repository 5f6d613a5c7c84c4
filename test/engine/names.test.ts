import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesOnDemand } from '../../src/engine/names.ts';

const idle = { networks: async () => [], containers: async () => [] };

test('names are asked for when somebody wants them, and then not again for half a minute', async () => {
  let clockMs = 0;
  let asked = 0;
  const engine = {
    ...idle,
    async networks() {
      asked += 1;
      return [{ id: 'n1', name: `net${asked}`, driver: 'wireguard-plugin', optionNames: [], subnets: [] }];
    },
  };
  const names = namesOnDemand(engine as unknown as typeof idle, () => clockMs);
  assert.equal(asked, 0);
  assert.deepEqual(
    (await Promise.all([names(), names()])).map(({ network }) => network('n1')),
    ['net1', 'net1'],
  );
  clockMs = 29_999;
  assert.equal((await names()).network('n1'), 'net1');
  clockMs = 30_000;
  assert.equal((await names()).network('n1'), 'net2');
  assert.equal(asked, 2);
});

test('an engine that is away or silent leaves ids', async () => {
  const away = namesOnDemand({ ...idle, networks: () => Promise.reject(new Error('ECONNREFUSED')) });
  assert.equal((await away()).network('n1'), undefined);
  const silent = namesOnDemand({ ...idle, networks: () => new Promise(() => {}) });
  const alive = setTimeout(() => {}, 5000);
  assert.equal((await silent()).container('e1'), undefined);
  clearTimeout(alive);
});
