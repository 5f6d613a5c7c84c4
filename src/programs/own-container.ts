import { readFile, stat } from 'node:fs/promises';

/** Process 1 of `docker run --init` and its like: it ends, and the container with it, when its child does. */
const smallInits: readonly string[] = ['docker-init', 'podman-init', 'catatonit', 'tini', 'dumb-init'];

/**
 * Do the processes that this one leaves behind end with it? So they do in a managed plugin, and in a container that was made
 * for it. A machine of a container image, or a container in which the engine is as well, looks alike, and is none.
 * @param root of the files that are looked at, in tests
 */
export async function isInOwnContainer({
  pid,
  ppid,
  root = '',
}: {
  readonly pid: number;
  readonly ppid: number;
  readonly root?: string;
}): Promise<boolean> {
  if (pid === 1) {
    return true;
  }
  const marks = [`${root}/.dockerenv`, `${root}/run/.containerenv`];
  const isMarked = (await Promise.allSettled(marks.map((file) => stat(file)))).some(
    ({ status }) => status === 'fulfilled',
  );
  if (!isMarked) {
    return false;
  }
  const read = (file: string) => readFile(root + file, 'utf8').catch(() => '');
  if (ppid === 1 && smallInits.includes((await read('/proc/1/comm')).trim())) {
    return true;
  }
  // With --pid=host, process 1 is the host’s.
  const hosts = rootMount(await read('/proc/1/mountinfo'));
  return hosts !== undefined && hosts !== rootMount(await read('/proc/self/mountinfo'));
}

/** What is mounted at `/`: its device, and the folder in it (proc_pid_mountinfo(5)). */
function rootMount(mountinfo: string): string | undefined {
  const fields = mountinfo.split('\n').map((line) => line.split(' '));
  const [, , device, folder] = fields.findLast((line) => line[4] === '/') ?? [];
  return device && `${device} ${folder}`;
}
