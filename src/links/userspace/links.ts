import { setTimeout } from 'node:timers/promises';
import { knock } from '../../knock.ts';
import { type Failure, run } from '../../programs/run.ts';
import type { Mark } from '../../wireguard/link-alias.ts';
import type { DeviceStatus } from '../../wireguard/status.ts';
import {
  deleteMarked,
  deleteRecorded,
  deleteUnfinished,
  deleteUnmarked,
  failure,
  ipBatch,
  linkExists,
  listMarked,
} from '../iproute/ip.ts';
import { LinkError, type Links, nowhere, type Place } from '../links.ts';
import { selectFindLink } from './find.ts';
import { decodeErrno, decodeGet, encodeSet, getRequest } from './uapi.ts';
import { requestUapi, uapiSocketOf } from './uapi-socket.ts';

/**
 * A program that ends later than that is not waited for: its link is gone, and that is what was asked. With 65,000 peers
 * wireguard-go takes up to three seconds.
 */
const endTimeoutMs = 5000;

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
export function userspaceLinks(mark: Mark, program: string, findLink = selectFindLink()): Links {
  return {
    backend: 'userspace',
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
      await requestUapi(name, getRequest).catch(() => {});
      const marked = await ipBatch([`link set dev ${name} mtu ${mtu} alias ${mark.write(endpointId)}`]);
      if (!marked.ok) {
        await deleteUnmarked(name);
        const error = failure('create', name, marked);
        throw error.code === 'ENODEV' ? new LinkError('create', name, endedAtOnce(program), 'ENODEV') : error;
      }
    },

    async configure(name, device) {
      await request('configure', name, encodeSet({ ...device, replacePeers: true }));
    },

    async read(place) {
      const device = await readDevice(place);
      if (device === undefined) {
        return undefined;
      }
      const link = await findLink(place);
      return { name: link?.name ?? place.name, mtu: link?.mtu, ...device };
    },
    readDevice,

    async change(place, { mtu, ...change }) {
      if (mtu !== undefined) {
        const link = await findLink(place);
        if (link === undefined) {
          throw nowhere(place);
        }
        await link.setMtu(mtu);
      }
      if (Object.keys(change).length > 0) {
        const answer = await request('change', place.name, encodeSet(change)).catch(unlessEnded);
        if (answer === undefined) {
          throw nowhere(place);
        }
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

    async deleteRecorded(name) {
      if (await deleteRecorded(name, mark, 'tun')) {
        await programEnd(name);
      }
    },

    list: () => listMarked(mark),
  };

  async function readDevice({ name }: Place): Promise<DeviceStatus | undefined> {
    const answer = await request('read', name, getRequest).catch(unlessEnded);
    return answer === undefined ? undefined : decodeGet(answer);
  }

  /** Asks the program of a link, which keeps its socket's name wherever the link is. @throws LinkError */
  async function request(operation: string, name: string, text: string): Promise<string> {
    const answer = await requestUapi(name, text).catch((error: NodeJS.ErrnoException) => {
      throw new LinkError(operation, name, `its configuration socket: ${error.message}`, error.code);
    });
    const errno = decodeErrno(answer);
    if (errno !== 0) {
      throw new LinkError(operation, name, `${program} refused it (errno ${errno ?? 'missing'})`);
    }
    return answer;
  }
}

/** ECONNREFUSED is of a program that has ended, and left its socket. */
function unlessEnded(error: LinkError): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ECONNREFUSED') {
    throw error;
  }
  return undefined;
}

/** A program that has lost its link takes a moment to end, and until then nobody else gets its socket. */
async function programEnd(name: string): Promise<void> {
  const started = performance.now();
  while (
    (await knock(uapiSocketOf(name)).catch(() => 'unknown')) === 'answered' &&
    performance.now() - started < endTimeoutMs
  ) {
    await setTimeout(5);
  }
}

/** wireguard-go watches a file for each link, and says nothing if it is not let: it is a daemon by then. */
function endedAtOnce(program: string): string {
  return (
    `${program} exited at once; if this host has many links, raise fs.inotify.max_user_instances with sysctl, ` +
    'because each link takes one instance'
  );
}

/** wireguard-go tells its error on stdout, and on stderr draws a box of advice. */
function wordsOf({ stdout, stderr, ending }: Failure): string {
  const words = `${stdout}\n${stderr}`.replaceAll(/^[┌│└].*$/gm, '').trim();
  return words === '' ? ending : `${words} (${ending})`;
}
