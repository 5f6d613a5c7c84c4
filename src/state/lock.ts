import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, rename, unlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { knock } from '../knock.ts';

const lockPrefix = 'lock.';
const claimPrefix = 'claim.';

/**
 * Takes a folder of state for this process alone, until it gives it back or ends, by whatever cause. The
 * lock is a unix socket that its holder listens on, since Node has no flock(2); under a name of its own, so
 * that one which a kill left behind can be removed without taking somebody's in the same moment. Of two that
 * come at once each may see the other, and both give way.
 * @returns how to give it back
 * @throws Error if another process has it, or if the folder cannot be written to
 */
export async function lockState(folder: string): Promise<() => Promise<void>> {
  const name = `${process.pid}-${randomBytes(4).toString('hex')}`;
  const claim = join(folder, claimPrefix + name);
  const lock = join(folder, lockPrefix + name);
  const server = createServer((connection) => connection.destroy());
  const release = async () => {
    server.close();
    await unlink(lock);
  };
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await listen(server, claim);
    // Whatever has the name of a lock is listening already, or nobody ever will.
    await rename(claim, lock);
  } catch (error) {
    server.close();
    throw new Error(`state folder ${folder}: ${error instanceof Error ? error.message : String(error)}`);
  }
  for (const other of await readdir(folder)) {
    if (
      other === lockPrefix + name ||
      ![lockPrefix, claimPrefix].some((prefix) => other.startsWith(prefix))
    ) {
      continue;
    }
    if (await isHeld(join(folder, other))) {
      await release();
      throw new Error(
        `state folder ${folder}: another process is using it; stop that process, or choose another --state-dir`,
      );
    }
    await unlink(join(folder, other)).catch(() => {});
  }
  return release;
}

/** A knock that cannot be told from an answer counts as one: on a holder with too many of them, for one. */
async function isHeld(path: string): Promise<boolean> {
  return (await knock(path).catch(() => 'answered')) === 'answered';
}

async function listen(server: Server, path: string): Promise<void> {
  server.unref();
  server.listen(path);
  await once(server, 'listening');
}
