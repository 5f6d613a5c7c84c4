import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { run } from './commands.ts';

/**
 * Namespaces of their own for an engine, hubs and drivers: mounts, network and processes. /run and /var/lib
 * are empty in there and what is written to /etc is forgotten, so everything can run with its defaults and
 * meets nothing of the machine's; when the first process ends, so do all others and with them links, mounts
 * and namespaces.
 */
const enter = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];

const prepare = `
  for folder in /run /var/lib; do
    [ ! -d "$folder" ] || mount -t tmpfs -o mode=755 tmpfs "$folder"
  done
  mkdir -p /run/lock /run/tmp /run/etc/upper /run/etc/work
  mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
  rm -rf /etc/docker /etc/wgdriver
  ip link set lo up
  # No exec: the first process has to bury the daemons that lose their parents, and a shell does.
  "$@"`;

/** Debian's own docker goes with its dockerd; another one on the machine may be too new for it. */
const debianFirst = `/usr/sbin:/usr/bin:/sbin:/bin:${process.env.PATH}`;

/** Runs a program in a sandbox; its exit status. Ends with this process, however that ends. */
export async function runInSandbox(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<number> {
  const cgroup = `wgdriver-${process.pid}`;
  const command = ['--pdeathsig', 'KILL', 'unshare', ...enter, 'sh', '-euc', prepare, 'sh', file, ...args];
  const child = spawn('setpriv', command, {
    stdio: 'inherit',
    env: {
      ...process.env,
      ...env,
      PATH: debianFirst,
      TMPDIR: '/run/tmp',
      WGDRIVER_TEST_CGROUP: `/${cgroup}`,
    },
  });
  try {
    const [status] = (await once(child, 'exit')) as [number | null];
    return status ?? 1;
  } finally {
    // The one thing that no namespace takes with it: the control groups that the engine made.
    await run('find', [
      '/sys/fs/cgroup',
      '-depth',
      '-type',
      'd',
      '-path',
      `*/${cgroup}*`,
      '-exec',
      'rmdir',
      '{}',
      '+',
    ]);
  }
}
