import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../build/host/commands.ts';
import { netlinkNamespaces } from '../../src/killswitch/by-netlink.ts';
import { programNamespaces } from '../../src/killswitch/by-programs.ts';
import type { Changed, Watcher } from '../../src/killswitch/namespaces.ts';
import { NetlinkError } from '../../src/netlink/error.ts';
import { encodeMessage } from '../../src/netlink/message.ts';
import { encodeNewRoute } from '../../src/netlink/route/route.ts';
import type { EventSocket } from '../../src/netlink/socket.ts';
import { prefixOf } from '../../src/wireguard/address.ts';

function recordingWatcher() {
  const changes: (number[] | 'anywhere')[] = [];
  const failures: string[] = [];
  const watcher: Watcher = {
    onChange: (where: Changed) => void changes.push(where === 'anywhere' ? where : [...where.keys()]),
    onFailure: (cause) => void failures.push(cause),
  };
  return { changes, failures, watcher };
}

const linkEvent = event(16, new Uint8Array(16));

function event(type: number, payload: Uint8Array): Uint8Array {
  return encodeMessage({ type, flags: 0, sequence: 0, portId: 0, payload });
}

/** A socket that gives what it is told to, an error by its errno, and then nothing; `nothing` up to the next signal. */
function eventSocket(...given: readonly (number | string | Uint8Array)[]) {
  const left = [...given];
  const closed: true[] = [];
  let tell = () => {};
  const socket: EventSocket = {
    receive() {
      const next = left.shift() ?? 'nothing';
      if (next === 'nothing') {
        setTimeout(tell, left.length > 0 ? 1 : 1e6).unref();
        return undefined;
      }
      if (typeof next === 'string') {
        throw new NetlinkError('receive', 'netlink message', { errno: next });
      }
      return typeof next === 'number' ? { nsid: next, bytes: linkEvent } : { nsid: 1, bytes: next };
    },
    onReadable(callback) {
      tell = callback;
    },
    close: () => void closed.push(true),
  };
  return { socket, closed };
}

test('events that were lost are changes anywhere, and the watch goes on', async () => {
  const { changes, failures, watcher } = recordingWatcher();
  const { socket, closed } = eventSocket(7, 'nothing', 'ENOBUFS', 8, 8);
  const watch = netlinkNamespaces(undefined, async () => socket).watch(watcher);
  await until('all is told of', () => changes.length === 3);
  assert.deepEqual(changes, [[7], 'anywhere', [8]]);
  watch.close();
  await until('it closes', () => closed.length === 1);
  assert.deepEqual(failures, []);
});

test('events that come faster than they are read hold up nothing', async () => {
  const { changes, watcher } = recordingWatcher();
  const flood: EventSocket = { receive: () => ({ nsid: 7, bytes: linkEvent }), onReadable() {}, close() {} };
  const watch = netlinkNamespaces(undefined, async () => flood).watch(watcher);
  await until('they are told of', () => changes.length > 1);
  watch.close();
  assert.deepEqual(changes[0], [7]);
});

test('of routes the default ones of the main table are changes, and not those that a protection makes itself', async () => {
  const { changes, watcher } = recordingWatcher();
  const route = (table: number, destination: string) =>
    event(24, encodeNewRoute({ table, destination: prefixOf(destination), oif: 7 }));
  const main = (destination: string) => {
    const bytes = route(254, destination);
    // The kernel has the number of the table in the header, too: struct rtmsg behind struct nlmsghdr.
    bytes[16 + 4] = 254;
    return bytes;
  };
  const { socket } = eventSocket(
    route(30567, '0.0.0.0/0'),
    main('10.0.0.0/8'),
    'nothing',
    main('0.0.0.0/0'),
    'nothing',
    9,
  );
  const watch = netlinkNamespaces(undefined, async () => socket).watch(watcher);
  await until('the last is told of', () => changes.length === 2);
  assert.deepEqual(changes, [[1], [9]]);
  watch.close();
});

test('a socket that is broken is closed, and another one opened after a pause', async () => {
  const { changes, failures, watcher } = recordingWatcher();
  const sockets = [eventSocket('EBADF'), eventSocket(9)];
  const opened: EventSocket[] = [];
  const watch = netlinkNamespaces(undefined, async () => {
    const { socket } = sockets[opened.length] ?? assert.fail();
    opened.push(socket);
    return socket;
  }).watch(watcher);
  await until('it is told of', () => failures.length === 1);
  await sleep(200);
  assert.deepEqual([changes, opened.length, sockets[0]?.closed.length], [[], 1, 1]);
  await until('another one watches', () => changes.length === 2);
  assert.deepEqual(changes, ['anywhere', [9]]);
  assert.deepEqual(failures, ['receive netlink message: EBADF']);
  watch.close();
});

test('a watch that was closed tells of nothing more', async () => {
  const { changes, failures, watcher } = recordingWatcher();
  let open = (_socket: EventSocket) => {};
  const watch = netlinkNamespaces(undefined, () => new Promise((resolve) => (open = resolve))).watch(watcher);
  watch.close();
  const { socket, closed } = eventSocket(1, 'EBADF');
  open(socket);
  await until('it closes', () => closed.length === 1);
  assert.deepEqual([changes, failures], [[], []]);
});

test('ip monitor that has lost events and goes on has changes anywhere', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-watch-'));
  const path = process.env.PATH;
  try {
    const complaint = 'netlink receive error No buffer space available (105)';
    await writeFile(join(folder, 'ip'), `#!/bin/sh\necho '${complaint}' >&2\nexec sleep 60\n`);
    await chmod(join(folder, 'ip'), 0o755);
    process.env.PATH = `${folder}:${path}`;
    const { changes, failures, watcher } = recordingWatcher();
    const watch = programNamespaces().watch(watcher);
    await until('it is told of', () => changes.length > 0);
    watch.close();
    assert.deepEqual([changes, failures], [['anywhere'], []]);
  } finally {
    process.env.PATH = path;
    await rm(folder, { recursive: true });
  }
});
