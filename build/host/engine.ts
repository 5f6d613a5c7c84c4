import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestsTo } from '../../src/engine/request.ts';
import { attempt, type Ended, run, sh } from './commands.ts';
import { type Daemon, startDaemon, untilReady } from './daemon.ts';

/** A real Docker engine, with its defaults, in the namespaces this process is in. */
export interface Engine {
  /** Such as 20.10.24. */
  readonly version: string;
  /** Runs `docker …` and gives its output. @throws Error with what docker said */
  docker(...args: readonly string[]): Promise<string>;
  /** Runs `docker …`, which may fail. */
  tryDocker(...args: readonly string[]): Promise<Ended>;
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again, with further arguments of dockerd that count for this start alone. */
  start(...args: readonly string[]): Promise<void>;
  output(): string;
}

/** What tests ask the engine again and again: a `docker` takes a tenth of a second of the processor's to start. */
export const askEngine = requestsTo('/run/docker.sock', 120_000);

/** The image that containers of the tests run; its programs are busybox's and those that are added. */
export const testImage = 'wgdriver-test';

/** Starts dockerd. WGDRIVER_TEST_CGROUP, if set, is the control group to put containers in. */
export async function startEngine(...args: readonly string[]): Promise<Engine> {
  const cgroup = process.env.WGDRIVER_TEST_CGROUP;
  const lastingArgs = [...(cgroup === undefined ? [] : ['--cgroup-parent', cgroup]), ...args];
  let daemon: Daemon | undefined;

  async function startOnce(more: readonly string[]): Promise<void> {
    const starting = startDaemon('dockerd', [...lastingArgs, ...more]);
    daemon = starting;
    await untilReady(starting, 'dockerd answers', () =>
      askEngine('GET', '/version').then(
        () => true,
        () => false,
      ),
    );
  }

  async function start(...more: readonly string[]): Promise<void> {
    await startOnce(more).catch(async (error: Error) => {
      // On an emulated machine with much to do, dockerd may give up on its own containerd too early.
      if (!error.message.includes('timeout waiting for containerd to start')) {
        throw error;
      }
      await startOnce(more);
    });
  }

  await start();
  return {
    version: ((await askEngine('GET', '/version')) as { Version: string }).Version,
    docker: (...words) => run('docker', words),
    tryDocker: (...words) => attempt('docker', words),
    start,
    stop: async (signal) => {
      await daemon?.stop(signal);
    },
    output: () => daemon?.output() ?? '',
  };
}

/**
 * Imports an image, that of the tests unless told: a static busybox, and programs of this machine with the libraries
 * that they load.
 */
export async function importTestImage(
  engine: Engine,
  programs: readonly string[] = [],
  image = testImage,
): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'wgdriver-image-'));
  const script = `
    root=$1; shift
    mkdir -p "$root/bin" "$root/tmp" "$root/run" "$root/etc"
    cp "$(command -v busybox)" "$root/bin/busybox"
    chroot "$root" /bin/busybox --install -s /bin
    # glibc loads it when a thread is cancelled, of which ldd does not tell.
    libgcc=$(/sbin/ldconfig -p | sed -n 's/.*libgcc_s\\.so\\.1 .*=> //p' | head -n 1)
    for program in "$@"; do
      path=$(command -v "$program")
      for file in "$path" $libgcc $(ldd "$path" 2>/dev/null | grep -o '/[^ ]*'); do
        mkdir -p "$root$(dirname "$file")"
        # A link of busybox there is absolute, so writing through it would reach the file of this machine.
        cp -L --remove-destination "$file" "$root$file"
      done
      rm -f "$root/bin/$program.busybox"
      case $path in /bin/*|/usr/bin/*) ;; *) ln -sf "$path" "$root/bin/$program";; esac
    done
    tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "${image}"`;
  try {
    await sh(script, root, ...programs);
  } finally {
    await rm(root, { recursive: true });
  }
  await engine.docker('image', 'inspect', image);
}
