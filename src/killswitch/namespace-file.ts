import { type Stats, statSync } from 'node:fs';
import { access } from 'node:fs/promises';

/** The file of a container's network namespace: libnetwork's SandboxKey. */
export type NamespaceFile = `/${string}`;

export function isAbsolute(path: string): path is NamespaceFile {
  return path.startsWith('/');
}

let host: Stats | undefined;

/**
 * The inode of a container's namespace, by which it is told from another; undefined while there is none. The engine makes
 * a file first, and then mounts the namespace on it.
 */
export async function inodeOf(path: string): Promise<number | undefined> {
  try {
    // In memory, as the kernel's own files are: a thread that waits for them would cost ten times as much.
    host ??= statSync('/proc/self/ns/net');
    const { dev, ino } = statSync(path);
    // Never the host's own, whatever the engine says.
    return dev === host.dev && ino !== host.ino ? ino : undefined;
  } catch {
    return undefined;
  }
}

export async function isContainerNamespace(path: string): Promise<boolean> {
  return (await inodeOf(path)) !== undefined;
}

export function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
