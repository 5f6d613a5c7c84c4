import { setTimeout } from 'node:timers/promises';
import { knock } from '../../knock.ts';
import { type Failure, run } from '../../programs/run.ts';
import {
  deleteMarked,
  deleteUnfinished,
  deleteUnmarked,
  failure,
  ipBatch,
  linkExists,
  listMarked,
} from '../iproute/ip.ts';
import { LinkError, type Links } from '../links.ts';
import type { Mark } from '../mark.ts';
import { ask, socketOf } from './socket.ts';
import { decodeErrno, encodeSet, getRequest } from './uapi.ts';

/** A program that ends later than that is not waited for: its link is gone, and that is what was asked. */
const endTimeoutMs = 1000;

/** With these wireguard-go would keep our pipes, and we would wait for its end. */
const withoutForeground = { LOG_LEVEL: undefined, WG_PROCESS_FOREGROUND: undefined };

/** The userspace implementation to use; an empty variable is as good as none, as in wg-quick(8). */
export function userspaceProgram(env: NodeJS.ProcessEnv): string {
  return env.WG_USERSPACE_IMPLEMENTATION || 'wireguard-go';
}

/**
 * Links of a userspace WireGuard: one process for each, which makes itself a daemon and so outlives this
 * one. It ends when its link does, be it deleted or gone with its container's namespace.
 */
export function userspaceLinks(mark: Mark, program: string): Links {
  return {
    async create({ name, mtu, endpointId }) {
      // The program would attach itself to somebody else's TUN device of that name without a word.
      if (await linkExists(name)) {
        throw new LinkError('create', name, 'File exists', 'EEXIST');
      }
      const outcome = await run(program, [name], { env: withoutForeground });
      if (!outcome.ok) {
        throw new LinkError('create', name, wordsOf(outcome));
      }
      // The program gives its device an MTU of its own, the last time just before it answers.
      await ask(name, getRequest).catch(() => {});
      const marked = await ipBatch([`link set dev ${name} mtu ${mtu} alias ${mark.write(endpointId)}`]);
      if (!marked.ok) {
        await deleteUnmarked(name);
        const error = failure('create', name, marked);
        throw error.code === 'ENODEV' ? new LinkError('create', name, endedAtOnce(program), 'ENODEV') : error;
      }
    },

    async configure(name, device) {
      const answer = await ask(name, encodeSet({ ...device, replacePeers: true })).catch((error: Error) => {
        throw new LinkError('configure', name, `its configuration socket: ${error.message}`);
      });
      const errno = decodeErrno(answer);
      if (errno !== 0) {
        throw new LinkError('configure', name, `${program} refused it (errno ${errno ?? 'missing'})`);
      }
    },

    async delete(name) {
      if (await deleteMarked(name, mark)) {
        await programEnd(name);
      }
    },

    async deleteUnfinished(name) {
      if (await deleteUnfinished(name, mark, 'tun')) {
        await programEnd(name);
      }
    },

    list: () => listMarked(mark),
  };
}

/** A program that has lost its link takes a moment to end, and until then nobody else gets its socket. */
async function programEnd(name: string): Promise<void> {
  const started = performance.now();
  while (
    (await knock(socketOf(name)).catch(() => 'unknown')) === 'answered' &&
    performance.now() - started < endTimeoutMs
  ) {
    await setTimeout(5);
  }
}

/** wireguard-go watches a file for each link, and says nothing if it is not let: it is a daemon by then. */
function endedAtOnce(program: string): string {
  return (
    `${program} began and was gone at once; with many links, allow it more of what each takes one of ` +
    '(sysctl fs.inotify.max_user_instances)'
  );
}

/** wireguard-go tells its error on stdout, and on stderr draws a box of advice. */
function wordsOf({ stdout, stderr, ending }: Failure): string {
  const words = `${stdout}\n${stderr}`.replaceAll(/^[┌│└].*$/gm, '').trim();
  return words === '' ? ending : `${words} (${ending})`;
}
