import { run } from '../../programs/run.ts';
import { setconf } from '../../wireguard/config/setconf.ts';
import { LinkError, type Links } from '../links.ts';
import type { Mark } from '../mark.ts';
import {
  deleteMarked,
  deleteUnfinished,
  deleteUnmarked,
  failedLine,
  failure,
  ipBatch,
  listMarked,
} from './ip.ts';

/** Links of the kernel's WireGuard, through the programs `ip` and `wg`. */
export function iprouteLinks(mark: Mark): Links {
  return {
    async create({ name, mtu, endpointId }) {
      // The kernel ignores an alias in the message that creates a link, so a second one sets it.
      const outcome = await ipBatch([
        `link add dev ${name} mtu ${mtu} type wireguard`,
        `link set dev ${name} alias ${mark.write(endpointId)}`,
      ]);
      if (!outcome.ok) {
        if (failedLine(outcome) > 1) {
          await deleteUnmarked(name);
        }
        throw failure('create', name, outcome);
      }
    },

    async configure(name, device) {
      // `wg setconf` opens its file anew, which a socket (Node's stdin) does not allow; the pipe behind
      // `cat` does, and the key is never on a disk.
      const script = 'cat | wg setconf "$1" /proc/self/fd/0';
      const outcome = await run('sh', ['-c', script, 'sh', name], { stdin: setconf(device) });
      if (!outcome.ok) {
        throw new LinkError('configure', name, outcome.cause);
      }
    },

    async delete(name) {
      await deleteMarked(name, mark);
    },

    async deleteUnfinished(name) {
      await deleteUnfinished(name, mark, 'wireguard');
    },

    list: () => listMarked(mark),
  };
}
