/**
 * Fuzzing, as a program: `fuzz.ts [REQUESTS [SEED]]`, a million requests unless told. Also of options and of
 * files of state, in their proportion. Says its seed; the same seed gives the same input.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { networkOf, recordOf } from '../../src/networks/network.ts';
import { decodeNetworkOptions, optionPrefix } from '../../src/networks/options.ts';
import { openStore } from '../../src/state/store.ts';
import type { EngineConnection } from '../support/engine-client.ts';
import { createMutator } from '../support/fuzz/mutate.ts';
import { createRequests } from '../support/fuzz/requests.ts';
import { articleOptions, createNetworkRequest } from '../support/networks.ts';
import { createRandom, type Random } from '../support/random.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { type ServedDriver, serveDriver } from '../support/served-driver.ts';

export interface FuzzSettings {
  readonly requests: number;
  readonly seed: number;
  readonly report?: (line: string) => void;
}

/** Clients at once, each with its own connection. */
const clients = 16;
/** Between two looks at what the driver has made of it. */
const roundSize = 10_000;
/** Where state is kept if there is such a thing: a disk would take most of the time. */
const memoryFolder = '/dev/shm';
/** An answer later than this is none. */
const answerMs = 30_000;

/** @throws Error at the first thing that is not as it should be */
export async function fuzz({ requests, seed, report = () => {} }: FuzzSettings): Promise<void> {
  const random = createRandom(seed);
  if (existsSync(memoryFolder)) {
    process.env.TMPDIR = memoryFolder;
  }
  report(`seed ${seed}`);
  fuzzOptions(random, requests / 5);
  report(`${requests / 5} sets of options`);
  await fuzzState(random, requests / 50);
  report(`${requests / 50} files of state`);
  await fuzzRequests(random, requests, report);
}

async function fuzzRequests(random: Random, requests: number, report: (line: string) => void): Promise<void> {
  const next = createRequests(random);
  const statuses = new Map<string, number>();
  const driver = await serveDriver({ limits: { headerMs: 600_000, requestMs: 600_000 } });
  try {
    const endpointsOf = async () =>
      (await driver.traces()).endpoints.map((name) => name.replace(/\.json$/, ''));
    for (let done = 0; done < requests; done += roundSize) {
      const round = Math.min(roundSize, requests - done);
      const queue = Array.from({ length: round }, next);
      await Promise.all(Array.from({ length: clients }, () => sendAll(driver, queue, statuses)));
      assert.deepEqual(await driver.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
      const known = await endpointsOf();
      for (const { link } of driver.links.present.values()) {
        assert(known.includes(link.endpointId), `a link without an endpoint: ${link.endpointId}`);
      }
      assert.deepEqual(Object.keys(Object.prototype), [], 'Object.prototype is as it was');
      // What was logged is looked at by other tests, and would fill the memory.
      (driver.lines as unknown[]).length = 0;
      (driver.links.asked as unknown[]).length = 0;
      const count = done + round;
      if (count % 100_000 === 0 || count === requests) {
        const tally = [...statuses].map(([status, times]) => `${status} ${times}`).join(', ');
        const megabytes = Math.round(process.memoryUsage().rss / 2 ** 20);
        report(`${count} requests: ${tally}; ${megabytes} MB`);
      }
    }
  } finally {
    await driver.close();
  }
}

/** One client: takes requests from the queue until it is empty. */
async function sendAll(
  driver: ServedDriver,
  queue: { bytes: Buffer; isWhole: boolean }[],
  statuses: Map<string, number>,
): Promise<void> {
  let connection: EngineConnection | undefined;
  const count = (outcome: string) => statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1);
  for (let request = queue.pop(); request !== undefined; request = queue.pop()) {
    connection ??= await driver.connect();
    connection.send(request.bytes);
    if (request.isWhole) {
      const { status, body } = await inTime(connection.answer(), request.bytes);
      assert(typeof body === 'object' && body !== null && !Array.isArray(body), 'a JSON object');
      count(`${status}${'Err' in body ? ' Err' : ''}`);
    } else {
      // It may be answered, by several answers too, or wait for more for ever.
      const answered = connection.answer().then(
        ({ status }) => `torn ${status}`,
        () => 'torn, ended',
      );
      count(await Promise.race([answered, driver.call('Plugin.Activate').then(() => 'torn')]));
      connection.hangUp();
      connection = undefined;
    }
  }
  connection?.hangUp();
}

async function inTime<Result>(answer: Promise<Result>, bytes: Buffer): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no answer to ${bytes.toString('latin1').slice(0, 2000)}`)),
      answerMs,
    );
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/** Options are decoded, or refused by an Error of one line that has no value of theirs in it. */
function fuzzOptions(random: Random, count: number): void {
  const mutator = createMutator(random);
  const sound = Object.fromEntries(
    Object.entries({ ...articleOptions, mtu: '1400', keepalive: '0', allowedips: '10.0.0.0/8' }).map(
      ([name, value]) => [optionPrefix + name, value],
    ),
  );
  const secret = 'TUFSS0VEIFNFRUQ';
  for (let done = 0; done < count; done++) {
    const options = mutator.value({
      ...sound,
      [`${optionPrefix}seed`]: `${secret}${random.percent(50) ? '=' : '!'}`,
    });
    try {
      decodeNetworkOptions(Object(options));
      const { Options, ...request } = createNetworkRequest();
      networkOf(recordOf({ ...request, Options: Object(mutator.value(Options)) }));
    } catch (error) {
      assert(error instanceof Error && error.constructor === Error, String(error));
      assert(!error.message.includes(secret), error.message);
    }
  }
}

/** Whatever is in the files, the state is opened, and what is not read is still there. */
async function fuzzState(random: Random, count: number): Promise<void> {
  const mutator = createMutator(random);
  const filesAtOnce = 100;
  for (let done = 0; done < count; done += filesAtOnce) {
    const folder = await mkdtemp(join(tmpdir(), 'wgdriver-fuzz-'));
    try {
      const store = await openStore(folder, recordedLog());
      const sound: Readonly<Record<string, object>> = {
        networks: { version: 1, ...networkOf(recordOf(createNetworkRequest())).record },
        [`boots/${store.bootId}/endpoints`]: {
          version: 1,
          endpointId: 'e',
          networkId: 'n',
          address: '192.168.5.2/24',
          bootId: store.bootId,
        },
        [`boots/${store.bootId}/joined`]: { version: 1, endpointId: 'e', sandbox: '/x' },
      };
      const names: string[] = [];
      for (let index = 0; index < filesAtOnce; index++) {
        const kind = random.pick(Object.keys(sound));
        const text = random.percent(50)
          ? mutator.text(sound[kind])
          : mutator.bytes(Buffer.from(JSON.stringify(sound[kind])));
        await writeFile(join(folder, kind, `f${index}.json`), isNewer(text) ? '{}' : text);
        names.push(`${kind}/f${index}.json`);
      }
      const log = recordedLog();
      await openStore(folder, log);
      const left = (await readdir(folder, { recursive: true })).map(String);
      for (const name of names) {
        assert(
          left.some((other) => other.startsWith(name)),
          `${name} is gone`,
        );
      }
      const setAside = left.filter((name) => name.includes('.unreadable-'));
      const unusable = log.lines.filter(({ message }) => message.startsWith('a network cannot be used'));
      assert.equal(log.lines.length, setAside.length + unusable.length);
    } finally {
      await rm(folder, { recursive: true });
    }
  }
}

/** A newer driver's state is refused as a whole, which would leave the others unread. */
function isNewer(text: string | Buffer): boolean {
  try {
    return JSON.parse(text.toString()).version > 1;
  } catch {
    return false;
  }
}

if (import.meta.main) {
  const [requests = '1000000', seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
  const started = performance.now();
  await fuzz({ requests: Number(requests), seed: Number(seed), report: (line) => console.log(line) });
  console.log(`sound, in ${Math.round((performance.now() - started) / 1000)} s`);
}
