import assert from 'node:assert/strict';
import { test } from 'node:test';
import { currentVersion, migrated, versionIn } from '../../src/state/migrations.ts';

test('an endpoint of version 1 gets a list of addresses', () => {
  const old = { version: 1, endpointId: 'e1', networkId: 'n1', address: '192.168.5.2/24', bootId: 'b' };
  assert.deepEqual(migrated('endpoint', old), {
    endpointId: 'e1',
    networkId: 'n1',
    addresses: ['192.168.5.2/24'],
  });
});

test('a network of version 1 keeps the MTU that 0.1 gave it, and says that it was 0.1', () => {
  const mtuIn = (options: object) => {
    const { options: now } = migrated('network', { version: 1, networkId: 'n1', options });
    return (now as { mtu?: string }).mtu;
  };
  assert.equal(mtuIn({ peer: '192.0.2.1:51820' }), '1420');
  assert.equal(mtuIn({ mtu: '1280' }), '1280');
  assert.equal(mtuIn({ conffile: 'a.conf' }), undefined);
  assert.deepEqual(migrated('network', { version: 1, options: 'none' }), { isOf01: true, options: 'none' });
});

test('a record of the current version is as it was written', () => {
  const fields = { networkId: 'n1', later: { a: 1 } };
  assert.deepEqual(migrated('network', { version: currentVersion('network'), ...fields }), fields);
});

for (const file of [null, [], 'x', {}, { version: 0 }, { version: 1.5 }, { version: '1' }]) {
  test(`no version: ${JSON.stringify(file)}`, () => {
    assert.equal(versionIn(file), undefined);
    assert.throws(() => migrated('endpoint', file), /endpoint\.version: expected an integer from 1 to 2/);
  });
}

test('a newer version is not guessed at', () => {
  assert.throws(
    () => migrated('endpoint', { version: currentVersion('endpoint') + 1 }),
    /expected an integer/,
  );
});
