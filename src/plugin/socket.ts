import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { knock } from '../knock.ts';

/** A unix socket to make at a path, or one that is already listening, inherited from systemd. */
export type SocketSource = NewSocket | { readonly fd: number };

export interface NewSocket {
  readonly path: string;
  /** By which option somebody may choose another path, for errors; absent: `--socket`. */
  readonly option?: string;
}

/** sd_listen_fds(3): the first descriptor that a service manager passes. */
const SD_LISTEN_FDS_START = 3;

/** The socket that a service manager passed to this process (sd_listen_fds(3)), or undefined. */
export function inheritedSocket(env: NodeJS.ProcessEnv, pid: number): SocketSource | undefined {
  if (env.LISTEN_PID !== String(pid) || env.LISTEN_FDS === undefined) {
    return undefined;
  }
  if (env.LISTEN_FDS !== '1') {
    throw new Error(`LISTEN_FDS: expected one socket, got ${env.LISTEN_FDS}`);
  }
  return { fd: SD_LISTEN_FDS_START };
}

/**
 * Makes way for a socket: its folder exists, and a socket that a crash left there is gone.
 * @throws Error if somebody answers on it, or if it is something else than a socket
 */
export async function claimSocket({ path, option = '--socket' }: NewSocket): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  switch (await knock(path)) {
    case 'answered':
      throw new Error(
        `socket ${path}: another process answers on it; stop that one, or choose another ${option}`,
      );
    case 'ENOENT':
      return;
    case 'ECONNREFUSED':
      // Linux refuses a connection to a file or folder with the same words.
      if (!(await lstat(path)).isSocket()) {
        throw new Error(`socket ${path}: this is not a socket; remove it, or choose another ${option}`);
      }
      await unlink(path);
  }
}

/** Whether a process serves the socket at `path`. @throws Error if that cannot be told */
export async function isServed(path: string): Promise<boolean> {
  return (await knock(path)) === 'answered';
}

/** Root's alone. Its folder is, too, or the process's umask has been: there is no moment in between. */
export async function secureSocket(path: string): Promise<void> {
  await chmod(path, 0o600);
}
