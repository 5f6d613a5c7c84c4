import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../../../build/host/commands.ts';
import { wgdriver } from '../../../build/host/driver.ts';
import { type Answer, connectEngine } from '../engine-client.ts';

const preload = fileURLToPath(new URL('./preload.ts', import.meta.url));

/** A real `wgdriver serve` that can be told to die or to fail at a step of a call (preload.ts). */
export interface FaultyService {
  readonly socket: string;
  readonly state: string;
  /** All that it has written, over all its lives. */
  output(): string;
  start(): Promise<void>;
  /** One call on a connection of its own; rejects if the service ends before it answers. */
  call(method: string, body?: unknown): Promise<Answer>;
  /** Makes what follows die or fail at a step, counted from now; at 0, the steps are counted alone. */
  arm(action: 'kill' | 'fail', step: number): Promise<void>;
  disarm(): Promise<void>;
  /** How many steps the last call took that was answered while armed. */
  steps(): Promise<number>;
  readonly isRunning: boolean;
  /** What it holds of the machine. */
  usage(): Promise<Usage>;
  ended(): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface Usage {
  readonly residentBytes: number;
  /** Of JavaScript, after a collection of garbage. */
  readonly heapBytes: number;
  readonly openFiles: number;
}

export interface FaultSettings {
  /** For the socket, the state and what tells the preload. */
  readonly folder: string;
  readonly backend: string;
  /** How many times as fast the driver's clock runs, by which reconcile waits. */
  readonly speed: number;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export function faultyService({ folder, backend, speed, args = [], env = {} }: FaultSettings): FaultyService {
  const socket = join(folder, 'plugin.sock');
  const state = join(folder, 'state');
  const control = join(folder, 'fault');
  let output = '';
  let child: ChildProcess | undefined;
  let armed = 0;

  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  const ended = async () => {
    if (child !== undefined && isRunning()) {
      await once(child, 'exit');
    }
  };

  return {
    socket,
    state,
    output: () => output,
    get isRunning() {
      return isRunning();
    },
    ended,

    async usage() {
      await rm(`${control}.heap`, { force: true });
      child?.kill('SIGUSR2');
      let heap = '';
      await until('garbage is collected', async () => {
        heap = await readFile(`${control}.heap`, 'utf8').catch(() => '');
        return heap !== '';
      });
      const status = await readFile(`/proc/${child?.pid}/status`, 'utf8');
      return {
        residentBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024,
        heapBytes: Number(heap),
        openFiles: (await readdir(`/proc/${child?.pid}/fd`)).length,
      };
    },

    async start() {
      const options = [
        '--log-level',
        'debug',
        '--backend',
        backend,
        '--socket',
        socket,
        '--state-dir',
        state,
      ];
      const starting = spawn(
        'setpriv',
        [
          '--pdeathsig',
          'KILL',
          process.execPath,
          '--import',
          preload,
          wgdriver,
          'serve',
          ...options,
          ...args,
        ],
        {
          // A core file goes where all else goes.
          cwd: folder,
          stdio: ['ignore', 'pipe', 'pipe'],
          env: { ...process.env, ...env, WGDRIVER_TEST_FAULT: control, WGDRIVER_TEST_SPEED: String(speed) },
        },
      );
      child = starting;
      await new Promise<void>((resolve, reject) => {
        let own = '';
        const read = (text: string) => {
          output += text;
          own += text;
          if (own.includes(' serving ')) {
            resolve();
          }
        };
        starting.stdout.setEncoding('utf8').on('data', read);
        starting.stderr.setEncoding('utf8').on('data', read);
        starting.once('exit', () => reject(new Error(`it did not start: ${own}`)));
      });
    },

    async call(method, body) {
      const engine = await connectEngine(socket);
      try {
        return await engine.call(method, body);
      } finally {
        engine.hangUp();
      }
    },

    async arm(action, step) {
      armed += 1;
      await rm(`${control}.steps`, { force: true });
      await writeFile(control, `${action} ${step} ${armed}`);
    },
    disarm: () => rm(control, { force: true }),
    steps: async () => Number(await readFile(`${control}.steps`, 'utf8')),

    async stop(signal = 'SIGTERM') {
      // setpriv has become the service by its exec, so the signal is for that.
      child?.kill(signal);
      await ended();
    },
  };
}

/** The body of an answer that must be a success. */
export function success({ status, body }: Answer): object {
  assert.equal(status, 200);
  assert(typeof body === 'object' && body !== null && !('Err' in body), JSON.stringify(body));
  return body;
}
