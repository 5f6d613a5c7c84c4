import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createArrivals } from '../../src/killswitch/arrival.ts';
import type { NamespaceFile } from '../../src/killswitch/namespace-file.ts';

let folder: string;
/** By the names of files, how often each was looked at. */
let looks: Map<string, number>;
let arrived: string[];
let late: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-arrival-'));
  looks = new Map();
  arrived = [];
  late = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const awaited = (name: string) => ({
  key: join(folder, name) as NamespaceFile,
  isWanted() {
    looks.set(name, (looks.get(name) ?? 0) + 1);
    return true;
  },
  onArrival: () => void arrived.push(name),
  onTimeout: () => void late.push(name),
});

/** Any namespace but the network namespace of this process. */
const arrive = (name: string) => symlink('/proc/self/ns/uts', join(folder, name));

test('of many namespaces that are to come, one that comes costs no look at the others', async () => {
  const arrivals = createArrivals(3000);
  const names = Array.from({ length: 300 }, (_, index) => `container-${index}`);
  for (const name of names) {
    arrivals.expect(awaited(name));
  }
  // Each is looked at quickly for a moment, as it may have come just before its folder was watched.
  await sleep(400);
  looks.clear();
  await writeFile(join(folder, 'container-8'), '');
  await arrive('container-7');
  await sleep(300);
  assert.deepEqual(arrived, ['container-7']);
  const others = names.filter((name) => name !== 'container-7' && name !== 'container-8');
  assert.ok(others.every((name) => (looks.get(name) ?? 0) <= 1));
  // The engine has made its file, and mounts the namespace next.
  assert.ok((looks.get('container-8') ?? 0) > 5);
  await arrivals.settled(10_000);
  assert.equal(late.length, names.length - 1);
});

test('without a folder, and when it comes, a namespace is found', async () => {
  const arrivals = createArrivals(5000);
  arrivals.expect({ ...awaited('one'), key: join(folder, 'later', 'one') as NamespaceFile });
  await sleep(50);
  await symlink(folder, join(folder, 'later'));
  await arrive('one');
  await arrivals.settled(1000);
  assert.deepEqual(arrived, ['one']);
});
