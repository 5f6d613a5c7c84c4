import { availableParallelism } from 'node:os';
import type { Address } from '../wireguard/address.ts';
import { encodeBase64 } from '../wireguard/base64.ts';
import { type PrivateKey, type PublicKey, publicKeyOf, WG_KEY_LEN } from '../wireguard/key.ts';
import { x25519 } from '../wireguard/x25519.ts';
import { derivePrivateKey, type KeyScheme } from './derivation.ts';
import { type AnsweringWorker, startWorker } from './worker.ts';

/** An address and its keys. */
export interface KeyPair {
  readonly address: Address;
  readonly privateKey: PrivateKey;
  readonly publicKey: PublicKey;
}

/** Under so many keys, workers take longer to start than they save. */
const worthWorkers = 4096;

/** Keys that a worker is told of at once: about 10 ms of its time. */
const batchSize = 256;

/** Batches under way for each worker, so that it does not wait for the next. */
const batchesAhead = 3;

/**
 * The keys of addresses, in their order. Derived as they are taken, so that memory does not grow with them.
 * @param workers how many derive them: 0 is this thread, alone
 */
export async function* keyPairsOf(
  scheme: KeyScheme,
  addresses: Iterable<Address>,
  workers: number,
): AsyncGenerator<KeyPair> {
  const { source } = x25519();
  if (workers === 0 || source === undefined) {
    for (const address of addresses) {
      const privateKey = derivePrivateKey(scheme, address);
      yield { address, privateKey, publicKey: publicKeyOf(privateKey) };
    }
    return;
  }
  const pool: AnsweringWorker[] = [];
  const ahead: Promise<KeyPair[]>[] = [];
  try {
    while (pool.length < workers) {
      pool.push(start(program(source)));
    }
    let turn = 0;
    for (const batch of batches(addresses)) {
      const pairs = pairsOf(scheme, batch, pool[turn++ % workers] as AnsweringWorker);
      // It is thrown when its turn comes; if another's came first, nobody waits for this one.
      pairs.catch(() => {});
      ahead.push(pairs);
      if (ahead.length === workers * batchesAhead) {
        yield* (await ahead.shift()) ?? [];
      }
    }
    for (const pairs of ahead) {
      yield* await pairs;
    }
  } finally {
    await Promise.all(pool.map((worker) => worker.stop()));
  }
}

/** How many workers are worth their start for so many keys. */
export function workersFor(count: number): number {
  const processors = availableParallelism();
  return count < worthWorkers || processors === 1 ? 0 : processors;
}

/** @throws Error if the system lets this process have no more threads */
function start(source: string): AnsweringWorker {
  try {
    return startWorker(source);
  } catch (error) {
    throw new Error(`cannot start a thread to derive keys: ${(error as Error).message}`, { cause: error });
  }
}

function* batches(addresses: Iterable<Address>): Generator<Address[]> {
  let batch: Address[] = [];
  for (const address of addresses) {
    batch.push(address);
    if (batch.length === batchSize) {
      yield batch;
      batch = [];
    }
  }
  yield batch;
}

async function pairsOf(
  scheme: KeyScheme,
  addresses: readonly Address[],
  worker: AnsweringWorker,
): Promise<KeyPair[]> {
  const privateKeys = addresses.map((address) => derivePrivateKey(scheme, address));
  const bytes = new Uint8Array(privateKeys.length * WG_KEY_LEN);
  privateKeys.forEach((key, index) => {
    bytes.set(key.reveal(), index * WG_KEY_LEN);
  });
  const publicBytes = await worker.ask(bytes);
  return addresses.map((address, index) => ({
    address,
    privateKey: privateKeys[index] as PrivateKey,
    publicKey: encodeBase64(publicBytes.subarray(index * WG_KEY_LEN, (index + 1) * WG_KEY_LEN)) as PublicKey,
  }));
}

/** What a worker runs: private keys in, one behind another, and public ones out. */
function program(source: string): string {
  return `
    const { parentPort } = process.getBuiltinModule('node:worker_threads');
    const publicKey = ${source};
    parentPort.on('message', (privateKeys) => {
      const publicKeys = new Uint8Array(privateKeys.length);
      for (let at = 0; at < privateKeys.length; at += ${WG_KEY_LEN}) {
        publicKeys.set(publicKey(privateKeys.subarray(at, at + ${WG_KEY_LEN})), at);
      }
      parentPort.postMessage(publicKeys);
    });`;
}
