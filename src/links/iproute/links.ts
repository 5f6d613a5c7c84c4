import { run } from '../../programs/run.ts';
import { setconf } from '../../wireguard/config/setconf.ts';
import type { Mark } from '../../wireguard/link-alias.ts';
import type { DeviceStatus, LinkStatus } from '../../wireguard/status.ts';
import { LinkError, type Links, nowhere, type Place } from '../links.ts';
import {
  deleteMarked,
  deleteRecorded,
  deleteUnfinished,
  deleteUnmarked,
  failedLine,
  failure,
  inNetns,
  ipBatch,
  type Kind,
  type LocatedLink,
  listMarked,
  locate,
  setMtu,
} from './ip.ts';
import { completed, parseDump, type WgRun, wgRuns } from './wg.ts';

/**
 * Links of the kernel's WireGuard, through the programs `ip`, `wg` and `nsenter`. Of another kind for tests on kernels
 * without it, where `wg` finds userspace links by their names.
 */
export function iprouteLinks(mark: Mark, kind: Kind = 'wireguard'): Links {
  async function read(place: Place): Promise<LinkStatus | undefined> {
    const link = await locate(place, kind);
    const device = link && (await readDevice(link));
    return device && { name: link.name, mtu: link.mtu, ...device };
  }

  return {
    backend: 'iproute',
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
      const outcome = await wg(
        { name, mtu: undefined },
        ['setconf', name, '/proc/self/fd/0'],
        setconf(device),
      );
      if (!outcome.ok) {
        throw new LinkError('configure', name, outcome.cause);
      }
    },

    read,
    readDevice: read,

    async change(place, { mtu, ...change }) {
      const link = await locate(place, kind);
      if (link === undefined) {
        throw nowhere(place);
      }
      if (mtu !== undefined) {
        await setMtu(link, mtu);
      }
      const isOfPresent =
        change.privateKey !== undefined || change.peers?.some(({ updateOnly }) => updateOnly) === true;
      const present = isOfPresent ? ((await readDevice(link))?.peers ?? []) : [];
      for (const wgRun of wgRuns(link.name, completed(change, present))) {
        await changeDevice(link, wgRun);
      }
    },

    async delete(name) {
      await deleteMarked(name, mark);
    },

    async deleteUnfinished(name) {
      await deleteUnfinished(name, mark, kind);
    },

    async deleteRecorded(name) {
      await deleteRecorded(name, mark, kind);
    },

    list: () => listMarked(mark),
  };
}

/** Undefined if it went in between. */
async function readDevice(link: LocatedLink): Promise<DeviceStatus | undefined> {
  const [program, ...args] = inNetns(link.netns, ['wg', 'show', link.name, 'dump']);
  const outcome = await run(program, args);
  if (!outcome.ok) {
    if (/No such device/.test(outcome.stderr)) {
      return undefined;
    }
    throw new LinkError('read', link.name, outcome.cause);
  }
  try {
    return parseDump(outcome.stdout);
  } catch (error) {
    throw new LinkError('read', link.name, (error as Error).message);
  }
}

async function changeDevice(link: LocatedLink, { args, stdin }: WgRun): Promise<void> {
  const outcome = await wg(link, args, stdin);
  if (!outcome.ok) {
    throw new LinkError('change', link.name, outcome.cause);
  }
}

/**
 * Runs `wg` where a link is. It opens /proc/self/fd/0 anew, which a socket (Node's stdin) does not allow; the pipe
 * behind `cat` does, and the secret is never on a disk.
 */
function wg({ netns }: LocatedLink, args: readonly string[], stdin = '') {
  const script = 'cat | exec "$@"';
  return run('sh', ['-c', script, 'sh', ...inNetns(netns, ['wg', ...args])], { stdin });
}
