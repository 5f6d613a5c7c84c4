import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { x25519 as noble } from '@noble/curves/ed25519.js';
import { derivePrivateKey, type KeyScheme } from '../../src/keys/derivation.ts';
import { keyPairsOf, workersFor } from '../../src/keys/key-pairs.ts';
import { parseRange } from '../../src/keys/ranges.ts';
import { startWorker } from '../../src/keys/worker.ts';
import { type Address, addressesOf } from '../../src/wireguard/address.ts';
import { Secret } from '../../src/wireguard/secret.ts';

const scheme: KeyScheme = {
  seed: new Secret(Buffer.from('testseed\n')),
  additional: Buffer.from('bestov.io'),
  derivation: 'sha3-256',
};

/** No multiple of a batch. */
const addresses = [...addressesOf(parseRange('10.0.0.0-10.0.11.183'))];

const expected = addresses.map((address) => {
  const privateKey = derivePrivateKey(scheme, address);
  const publicKey = Buffer.from(noble.getPublicKey(privateKey.reveal())).toString('base64');
  return [address.toString(), privateKey.toBase64(), publicKey];
});

for (const workers of [0, 1, 3]) {
  test(`3,000 addresses by ${workers} workers: noble’s keys, in order`, async () => {
    assert.equal(addresses.length, 3000);
    const rows: string[][] = [];
    for await (const { address, privateKey, publicKey } of keyPairsOf(scheme, addresses, workers)) {
      rows.push([address.toString(), privateKey.toBase64(), publicKey]);
    }
    assert.deepEqual(rows, expected);
  });
}

test('no address is no key', async () => {
  for (const workers of [0, 2]) {
    assert.equal((await keyPairsOf(scheme, [], workers).next()).done, true);
  }
});

test('what is not taken is not derived: memory does not grow with the subnet', async () => {
  let begun = 0;
  function* counted(): Generator<Address> {
    for (const address of addressesOf(parseRange('10.0.0.0/12'))) {
      begun += 1;
      yield address;
    }
  }
  const pairs = keyPairsOf(scheme, counted(), 2);
  for (let taken = 0; taken < 2000; taken += 1) {
    await pairs.next();
  }
  assert(begun < 2000 + 2000, `${begun} addresses were begun`);
  // And the workers end, or this process would not.
  await pairs.return(undefined);
});

test('few keys are not worth a worker', () => {
  assert.equal(workersFor(254), 0);
  assert(workersFor(65_533) >= 0);
});

test('a worker that fails is no answer that never comes', async () => {
  const worker = startWorker('throw new Error("out of luck")');
  await assert.rejects(worker.ask(new Uint8Array(32)), /out of luck/);
  await assert.rejects(worker.ask(new Uint8Array(32)), /out of luck/);
  await worker.stop();
});
