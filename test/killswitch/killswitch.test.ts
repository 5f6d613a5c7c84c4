import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../build/host/commands.ts';
import { families } from '../../src/killswitch/families.ts';
import { createGuard, type Guard } from '../../src/killswitch/killswitch.ts';
import type { Changed, Namespaces } from '../../src/killswitch/namespaces.ts';
import type { ContainerLink, ContainerNetwork } from '../../src/killswitch/rules.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { everything, tunnelScope } from '../support/tunnel-scope.ts';

const scope = tunnelScope(everything);
const splitScope = tunnelScope(['10.0.0.0/8']);
const mark = markOf('test');
const lo = { index: 1, name: 'lo', alias: undefined, isUp: true };
const wg0 = { index: 2, name: 'wg0', alias: mark.write('e1'), isUp: true };
const eth0 = { index: 3, name: 'eth0', alias: undefined, isUp: true };

/** Short of ten seconds. */
const releaseMs = 60;
/** Short of a minute. */
const arrivalMs = 200;

let folder: string;
/** A namespace's file, once it is made. */
let key: string;
let links: ContainerLink[];
let done: string[];
/** The namespaces from which the tables of earlier drivers were taken away. */
let old: string[];
/** What was done with what nothing is known of, each time. */
let policies: string[];
let reads: string[];
let failure: Error | undefined;
let probes: number;
let removing: Promise<void> | undefined;
/** A namespace that is slow to read. */
let slow: { readonly key: string; readonly until: Promise<void> } | undefined;
let change: (where: Changed) => void;
const numbers = new Map<string, number>();
let guard: Guard;
let log: ReturnType<typeof recordedLog>;

/**
 * Namespaces that only take notes of what was done, with how many links are filtered. Each test has its own: a
 * guard may still be at work when its test is over.
 */
function recordingNamespaces(notes: string[]): Namespaces {
  const present = new Map<string, Pick<ContainerNetwork, 'routes' | 'rules'>>();
  const nothing = { routes: [], rules: [] };
  const noted = reads;
  return {
    families,
    async read(netns) {
      noted.push(netns);
      if (netns === slow?.key) {
        await slow.until;
      }
      return { links: [...links], addresses: [], defaultRoutes: [], ...(present.get(netns) ?? nothing) };
    },
    async removeOldTables(netns) {
      old.push(netns);
    },
    nsidOf: async (netns) => numbers.get(netns),
    async apply(netns, tables, routing) {
      if (failure !== undefined) {
        throw failure;
      }
      if (netns === 'new') {
        probes++;
        return {};
      }
      const { routes, rules } = present.get(netns) ?? nothing;
      present.set(netns, {
        routes: [...routes.filter((route) => !routing.oldRoutes.includes(route)), ...routing.newRoutes],
        rules: [...rules.filter((rule) => !routing.oldRules.includes(rule)), ...routing.newRules],
      });
      policies.push(tables?.filter.chains.at(-1)?.policy ?? 'as before');
      notes.push(tables === undefined ? 'routing' : `apply ${tables.frameFilter.chains.length}`);
      return {};
    },
    async remove(netns, { oldRoutes }) {
      await removing;
      if (failure !== undefined) {
        throw failure;
      }
      const isAll = oldRoutes.length === (present.get(netns)?.routes.length ?? 0);
      present.delete(netns);
      notes.push(isAll ? 'remove' : 'remove, but no routes');
    },
    async probeWatch() {},
    watch({ onChange }) {
      change = onChange;
      return { close() {} };
    },
  };
}

/** Something that a protection may depend on. */
const changedIn = (nsid: number): Changed => new Map([[nsid, [{ index: undefined }]]]);

/** Any but the network namespace of this process. */
const makeNamespace = () => symlink('/proc/self/ns/uts', key);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-guard-'));
  key = join(folder, 'sandbox');
  links = [lo];
  done = [];
  policies = [];
  old = [];
  reads = [];
  numbers.clear();
  failure = undefined;
  probes = 0;
  removing = undefined;
  slow = undefined;
  log = recordedLog();
  guard = createGuard(recordingNamespaces(done), mark, log, { releaseMs, retryMs: 30, arrivalMs });
});
afterEach(() => rm(folder, { recursive: true }));

test('a namespace that is there is protected at once, and again when its links change, but not else', async () => {
  await makeNamespace();
  assert.equal(await guard.protect(key, 'e1', scope), 'protected');
  assert.deepEqual(done, ['apply 0']);
  links = [lo, wg0, eth0];
  change('anywhere');
  await until('the change is followed', () => done.length === 2);
  change('anywhere');
  change('anywhere');
  assert.equal(await guard.protect(key, 'e1', scope), 'protected');
  assert.deepEqual(done, ['apply 0', 'apply 1']);
});

test('a container with the tunnel alone is looked at once, whatever comes of the tunnel’s link', async () => {
  await makeNamespace();
  numbers.set(key, 7);
  await guard.protect(key, 'e1', scope, wg0.index);
  links = [lo, wg0];
  change(new Map([[7, [{ index: 2, link: wg0 }, { index: 2 }, { index: 1 }]]]));
  await sleep(50);
  assert.deepEqual([reads.length, done], [1, ['apply 0']]);
  links = [lo, wg0, eth0];
  change(new Map([[7, [{ index: 2 }, { index: 3, link: eth0 }]]]));
  await until('another link is followed', () => done.length === 2);
  change(new Map([[7, [{ index: 2 }]]]));
  await until('from now on each change is looked at', () => reads.length === 3);
});

test('only a namespace that has changed is looked at, whenever it gets its number', async () => {
  const keys = ['a', 'b'].map((name) => join(folder, name));
  for (const each of keys) {
    await symlink('/proc/self/ns/uts', each);
    await guard.protect(each, `e-${each}`, scope);
  }
  const [a = '', b = ''] = keys;
  reads.length = 0;
  change(changedIn(7));
  numbers.set(a, 7).set(b, 8);
  change(changedIn(9));
  change(changedIn(8));
  await until('one is looked at', () => reads.length > 0);
  change(changedIn(7));
  await until('the other is looked at', () => reads.length > 1);
  assert.deepEqual(reads, [b, a]);
  change('anywhere');
  await until('both are looked at', () => reads.length > 3);
  assert.deepEqual(reads.slice(2).sort(), [a, b]);
});

test('a namespace that is slow to read holds up no other, and one that changes all the time is read now and then', async () => {
  const keys = ['a', 'b'].map((name) => join(folder, name));
  const [a = '', b = ''] = keys;
  numbers.set(a, 7).set(b, 8);
  for (const each of keys) {
    await symlink('/proc/self/ns/uts', each);
    await guard.protect(each, `e-${each}`, scope);
  }
  reads.length = 0;
  let goOn = () => {};
  slow = { key: a, until: new Promise((resolve) => (goOn = resolve)) };
  change(changedIn(7));
  await until('the slow one is being read', () => reads.length === 1);
  await sleep(100);
  change(changedIn(8));
  await until('the other one is looked at', () => reads.length === 2);
  assert.deepEqual(reads, [a, b]);
  change(changedIn(7));
  goOn();
  // It took 100 ms for nothing, so twice that is for others.
  await sleep(100);
  assert.deepEqual(reads, [a, b]);
  await until('it is looked at again', () => reads.length === 3);
});

test('a tunnel of the container’s own that stays closed is told of once', async () => {
  await makeNamespace();
  links = [lo, wg0];
  await guard.protect(key, 'e1', scope);
  links = [lo, wg0, { ...eth0, name: 'vpn0', kind: 'wireguard', isInner: true }];
  change('anywhere');
  await until('the change is followed', () => done.length === 2);
  const warnings = () => log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  assert.deepEqual(warnings(), []);
  links = [...links, { ...eth0, index: 4, name: 'tun0', kind: 'tun' }];
  change('anywhere');
  await until('it is told of', () => warnings().length === 1);
  links = [...links, { ...eth0, index: 5, name: 'tun1', kind: 'tun' }];
  change('anywhere');
  await until('the change is followed', () => done.length === 4);
  assert.match(warnings().join(), /^a container has a tunnel of its own, which the kill switch blocks/);
});

test('another namespace under the same name is protected anew', async () => {
  await makeNamespace();
  await guard.protect(key, 'e1', scope);
  await guard.protect(key, 'e1', scope);
  assert.deepEqual(done, ['apply 0']);
  await rm(key);
  await symlink('/proc/self/ns/ipc', key);
  await guard.protect(key, 'e1', scope);
  assert.deepEqual(done, ['apply 0', 'apply 0']);
});

test('a namespace that comes too late to be waited for is protected when it changes', async () => {
  assert.equal(await guard.protect(key, 'e1', scope), 'coming');
  await until('it is not waited for any more', () => log.lines.some(({ level }) => level === 'warn'));
  await makeNamespace();
  await sleep(50);
  assert.deepEqual(done, []);
  numbers.set(key, 7);
  change(changedIn(7));
  await until('it is protected', () => done.length === 1);
});

test('a namespace that is to come is protected as soon as it is there', async () => {
  assert.equal(await guard.protect(key, 'e1', scope), 'coming');
  assert.deepEqual(done, []);
  await makeNamespace();
  await until('it is protected', () => done.length === 1);
});

test('a namespace that is to come is not promised what this host cannot do any more', async (t) => {
  // Whole: of fractions, the sum less one part need not be the other.
  let nowMs = Math.round(performance.now());
  t.mock.method(performance, 'now', () => nowMs);
  await guard.probe();
  failure = new Error('no nft');
  // It counts for a second, for as many as start in that.
  assert.equal(await guard.protect(`${key}-1`, 'e1', scope), 'coming');
  assert.equal(probes, 1);
  nowMs += 1000;
  await assert.rejects(
    guard.protect(`${key}-2`, 'e2', scope),
    /cannot keep traffic in the tunnel \(no nft\)/,
  );
  await assert.rejects(guard.protect(`${key}-2`, 'e2', scope), /no nft/);
  failure = undefined;
  assert.equal(await guard.protect(`${key}-2`, 'e2', scope), 'coming');
  assert.equal(await guard.protect(`${key}-3`, 'e3', scope), 'coming');
  assert.equal(probes, 2);
});

test('with the last tunnel the protection goes', async () => {
  await makeNamespace();
  await guard.protect(key, 'e1', scope);
  await guard.protect(key, 'e2', scope);
  await guard.release(key, 'e1');
  await guard.release(key, 'e1');
  await guard.release(key, 'unknown');
  assert(!done.includes('remove'));
  await guard.release(key, 'e2');
  assert.equal(done.at(-1), 'remove');
  change('anywhere');
  // A container that comes back is protected anew.
  assert.equal(await guard.protect(key, 'e3', scope), 'protected');
  assert.match(done.at(-1) ?? '', /apply/);
});

test('a container is protected for all its networks, or not at all', async () => {
  await makeNamespace();
  links = [lo, wg0, eth0];
  const outcomes = await Promise.all([guard.protect(key, 'e1', splitScope), guard.protect(key, 'e2', scope)]);
  assert.deepEqual(outcomes, ['protected', 'protected']);
  // The second sees that there is nothing more to do.
  assert.deepEqual(done, ['apply 1']);
});

test('a protection that cannot be taken away is an error, after some tries, and asked for again', async () => {
  await makeNamespace();
  await guard.protect(key, 'e1', scope);
  failure = new Error('no memory');
  await assert.rejects(guard.release(key, 'e1'), /could not be taken away: no memory/);
  assert(reads.length > 2);
  failure = undefined;
  await guard.release(key, 'e1');
  assert.equal(done.at(-1), 'remove');
});

test('a protection stays for a while after its tunnel, whatever changes meanwhile: sharers still run', async () => {
  await makeNamespace();
  links = [lo, wg0, eth0];
  await guard.protect(key, 'e1', scope);
  guard.leave(key, 'e1');
  links = [lo];
  change('anywhere');
  const started = performance.now();
  const released = guard.release(key, 'e1');
  await sleep(releaseMs / 2);
  assert.deepEqual(done, ['apply 1']);
  await released;
  assert(performance.now() - started >= releaseMs);
  assert.deepEqual(done, ['apply 1', 'remove']);
});

test('a container that has ended meanwhile is left alone', async () => {
  await makeNamespace();
  await guard.protect(key, 'e1', scope);
  const released = guard.release(key, 'e1');
  await rm(key);
  await released;
  assert.deepEqual(done, ['apply 0']);
});

test('of two tunnels, what the one was for stays closed until its time is over', async () => {
  await makeNamespace();
  links = [lo, { ...wg0, alias: mark.write('split') }, eth0];
  await guard.protect(key, 'e1', scope);
  await guard.protect(key, 'split', splitScope);
  const before = policies.at(-1);
  const released = guard.release(key, 'e1');
  links = [...links, { ...eth0, index: 4, name: 'eth1' }];
  change('anywhere');
  await until('the change is followed', () => done.length === 3);
  assert.deepEqual([before, policies.at(-1)], ['drop', 'drop']);
  await released;
  assert.equal(policies.at(-1), 'accept');
});

test('no protection goes as long as the link of the tunnel is there: the engine has forgotten a container that runs', async () => {
  await makeNamespace();
  links = [lo, wg0, eth0];
  await guard.protect(key, 'e1', scope);
  await guard.release(key, 'e1');
  links = [...links, { ...eth0, index: 4, name: 'eth1' }];
  change('anywhere');
  await until('its changes are followed', () => done.length === 2);
  assert.deepEqual(done, ['apply 1', 'apply 2']);
  // As after a restart, when nothing is known of it but the record of its endpoint.
  const next = createGuard(recordingNamespaces(done), mark, log, { releaseMs, retryMs: 30, arrivalMs });
  await next.release(key, 'e1');
  assert.deepEqual(done, ['apply 1', 'apply 2']);
});

test('what could not be protected is tried again, and told of meanwhile', async () => {
  assert.equal(await guard.protect(key, 'e1', scope), 'coming');
  await guard.probe();
  failure = new Error('no nftables');
  await makeNamespace();
  await until('it is told of', () => log.lines.some(({ level }) => level === 'error'));
  assert.equal(guard.stateOf(key, 'e1'), 'down');
  await assert.rejects(guard.probe(), /no nftables/);
  failure = undefined;
  await until('it is protected', () => done.length > 0);
  await until('nothing is told of', () => guard.stateOf(key, 'e1') === 'up');
  const levels = log.lines.map(({ level }) => level).filter((level) => level !== 'debug');
  assert.deepEqual(levels, ['error', 'info']);
  await guard.probe();
});

test('a protection is up once it is in place, coming for as long as its namespace is waited for, and down after', async () => {
  assert.equal(guard.stateOf(key, 'e1'), undefined);
  assert.equal(await guard.protect(key, 'e1', scope), 'coming');
  assert.equal(guard.stateOf(key, 'e1'), 'coming');
  await until('it is given up', () => guard.stateOf(key, 'e1') === 'down');
  await writeFile(key, '');
  assert.equal(await guard.protect(key, 'e1', scope), 'unseen');
  assert.equal(guard.stateOf(key, 'e1'), undefined);
  await rm(key);
  await makeNamespace();
  await guard.protect(key, 'e1', scope);
  assert.equal(guard.stateOf(key, 'e1'), 'up');
  guard.leave(key, 'e1');
  assert.equal(guard.stateOf(key, 'e1'), 'up');
});

test('what an earlier driver left is taken away; what never had a namespace is no error', async () => {
  await guard.release('', 'e1');
  await guard.release(key, 'e1');
  assert.deepEqual(done, []);
  await makeNamespace();
  await guard.release(key, 'e1');
  assert.deepEqual(done, ['remove']);
});

test('a container that is about to start is protected before the driver ends', async () => {
  assert.equal(await guard.protect(key, 'e1', scope), 'coming');
  const closed = guard.close();
  await makeNamespace();
  await closed;
  assert.deepEqual(done, ['apply 0']);
});

const anothers = { ...wg0, index: 4, name: 'wg1', alias: markOf('other').write('e9') };

test('what another driver protects is left to it: of two in a container each takes its own away, and says so', async () => {
  await makeNamespace();
  links = [lo, wg0, anothers];
  await guard.protect(key, 'e1', scope);
  assert.match(log.lines.map(({ message }) => message).join(), /a container is on networks of two wgdrivers/);
  links = [lo, anothers];
  await guard.release(key, 'e1');
  assert.deepEqual(done, ['apply 1', 'remove, but no routes']);
});

test('tables of an earlier driver go from a container that was there before, unless they may be another driver’s', async () => {
  await makeNamespace();
  await guard.protect(key, 'e1', scope);
  links = [lo, wg0];
  change('anywhere');
  await until('the change is followed', () => done.length === 2);
  assert(!old.includes(key), 'nothing is left in one that came later');
  for (const [also, isGone] of [
    [[anothers], false],
    [[], true],
  ] as const) {
    links = [lo, wg0, ...also];
    const next = createGuard(recordingNamespaces(done), mark, log, { releaseMs, retryMs: 30, arrivalMs });
    await next.protect(key, 'e1', scope);
    assert.equal(old.includes(key), isGone);
  }
});

test('a tunnel that comes while the protection is being taken away has it anew', async () => {
  await makeNamespace();
  await guard.protect(key, 'e1', scope);
  let goOn = () => {};
  removing = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const released = guard.release(key, 'e1');
  await until('it is being taken away', () => reads.length === 2);
  const again = guard.protect(key, 'e2', scope);
  goOn();
  await released;
  assert.equal(await again, 'protected');
  assert.deepEqual(done, ['apply 0', 'remove', 'apply 0']);
});

test('what cannot be done at once is an error, and later a line in the log', async () => {
  await makeNamespace();
  failure = new Error('no nftables');
  await assert.rejects(guard.protect(key, 'e1', scope), /no nftables/);
  await assert.rejects(guard.probe(), /cannot keep traffic in the tunnel \(no nftables\); it needs nftables/);
  failure = undefined;
  await guard.probe();
  await guard.protect(key, 'e1', scope);
  failure = new Error('no more');
  links = [lo, eth0];
  change('anywhere');
  await until('it is said', () => log.lines.some(({ level }) => level === 'error'));
});

test('what is no namespace is left alone', async () => {
  await assert.rejects(guard.protect('sandbox', 'e1', scope), /SandboxKey: expected the path/);
  await writeFile(key, '');
  assert.equal(await guard.protect(key, 'e1', scope), 'unseen');
  // Not even if the engine should say so is it the host's own.
  assert.equal(await guard.protect('/proc/self/ns/net', 'e1', scope), 'unseen');
  assert.deepEqual(done, []);
});
