/**
 * Loaded into `wgdriver serve` by tests, with `node --import`: counts the steps of a call, kills the process
 * or fails a step at a number of them, and makes the driver's clock run faster. A step is what leaves this
 * process: an operation on a file, a program or a socket, before it is asked for and once it is under way.
 *
 * WGDRIVER_TEST_FAULT names a file that says what to do, `kill 17` or `fail 17`, from when it is written;
 * the steps that an answer took are written to the same name with `.steps` behind it. SIGUSR2 has the bytes
 * in use after a collection of garbage written to `.heap`.
 */
import childProcess from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import timers from 'node:timers/promises';
import { queryObjects } from 'node:v8';

type Any = (...args: unknown[]) => unknown;
type Module = Record<string, Any>;

const { readFileSync, writeFileSync, writeSync } = fs;
const controlFile = process.env.WGDRIVER_TEST_FAULT ?? '';
const speed = Number(process.env.WGDRIVER_TEST_SPEED ?? 1);

let plan = '';
let steps = 0;
/** The plan whose call has been answered: what comes after that, such as a look at the links, is no step of it. */
let spent = '';

/** Does what the file says from now on, and counts anew if it says something else. */
function follow(): void {
  const told = read(controlFile);
  if (told !== plan) {
    [plan, steps] = [told, 0];
  }
}

/** @throws Error if this is the step that is to fail */
function step(what: string): void {
  follow();
  if (plan === spent) {
    return;
  }
  const [action, at] = plan.split(' ');
  steps += 1;
  if (steps !== Number(at)) {
    return;
  }
  writeSync(2, `${action} at step ${at}: ${what}\n`);
  if (action === 'kill') {
    process.kill(process.pid, 'SIGKILL');
    // The signal may take a moment.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
  throw Object.assign(new Error(`EIO: i/o error, ${what}`), { code: 'EIO', errno: -5 });
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The same function with a step before it and one after it has begun; how it fails is up to `fail`. */
function stepped(name: string, original: Any, fail: (error: unknown, args: unknown[]) => unknown): Any {
  return function (this: unknown, ...args: unknown[]) {
    try {
      step(`before ${name}`);
    } catch (error) {
      return fail(error, args);
    }
    const result = Reflect.apply(original, this, args);
    try {
      step(`in ${name}`);
    } catch {
      // What has begun is not made to fail.
    }
    return result;
  };
}

function patch(module: object, names: readonly string[], fail: Parameters<typeof stepped>[2]): void {
  for (const name of names) {
    const functions = module as Module;
    const original = functions[name];
    if (original !== undefined) {
      functions[name] = stepped(name, original, fail);
    }
  }
}

const callBack = (error: unknown, args: unknown[]) => {
  const callback = args.findLast((arg) => typeof arg === 'function') as Any | undefined;
  queueMicrotask(() => callback?.(error));
};
const files = ['open', 'write', 'fsync', 'close', 'chown', 'chmod', 'rename', 'unlink', 'stat', 'realpath'];
patch(fs, files, callBack);
patch(
  fs.promises,
  ['open', 'readFile', 'readdir', 'rename', 'rm', 'stat', 'unlink', 'writeFile', 'mkdir'],
  (error) => Promise.reject(error),
);
patch(childProcess, ['execFile'], (error, args) => {
  callBack(error, args);
  return {};
});
patch(childProcess, ['spawn'], (error) => {
  throw error;
});
patch(net, ['connect'], (error) => {
  const socket = new net.Socket();
  queueMicrotask(() => socket.destroy(error as Error));
  return socket;
});

const { end } = http.ServerResponse.prototype;
http.ServerResponse.prototype.end = function (this: http.ServerResponse, ...args: unknown[]) {
  follow();
  if (plan !== '') {
    // With the two of this one.
    writeFileSync(`${controlFile}.steps`, String(steps + 2));
  }
  try {
    return stepped('answer', end as Any, () => this.destroy()).apply(this, args);
  } finally {
    spent = plan;
  }
} as typeof end;

const { setTimeout: sleep } = timers;
process.on('SIGUSR2', () => {
  // It collects all garbage first, also what has finalizers.
  queryObjects(class Nothing {});
  writeFileSync(`${controlFile}.heap`, String(process.memoryUsage().heapUsed));
});

(timers as { setTimeout: unknown }).setTimeout = (ms: number, ...rest: [never, never]) =>
  sleep(ms / speed, ...rest);
const now = performance.now.bind(performance);
performance.now = () => now() * speed;

syncBuiltinESMExports();
