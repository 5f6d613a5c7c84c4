import { linkName } from '../driver/names.ts';
import { readEndpointId } from '../links/mark.ts';
import { ask } from '../links/userspace/socket.ts';
import { decodeGet, getRequest } from '../links/userspace/uapi.ts';
import type { NetworkNamespace } from '../netlink/namespace.ts';
import { listLinks } from '../netlink/route/client.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE, withNetlinkSocket } from '../netlink/socket.ts';
import { getDevice } from '../netlink/wireguard/client.ts';
import type { PeerStatus } from '../wireguard/status.ts';
import { type Finding, pass, skip, warn } from './finding.ts';
import type { Survey } from './survey.ts';

const name = 'handshakes';

/**
 * A peer that sends makes a new handshake every 120 s, and after 180 s without one sends no more
 * (REKEY_AFTER_TIME and REJECT_AFTER_TIME of WireGuard's paper, section 6).
 */
const rejectAfterSeconds = 180;

/** What the hub's peer in a container's link says; no link; or why it could not be read. */
export interface ContainerHandshake {
  /** `app`, or `app (wgnet)` for one that is on several networks of ours. */
  readonly container: string;
  readonly hub: HubStatus | 'no link' | Error;
}

/** Reads the link of each container on the driver's networks, in the container's namespace. */
export async function probeHandshakes({
  containers,
}: Pick<Survey, 'containers'>): Promise<ContainerHandshake[]> {
  const found: ContainerHandshake[] = [];
  for (const { name, sandboxKey, attachments } of containers) {
    // Without a namespace it has ended since it was listed.
    const ours = attachments.filter(({ isOurs }) => isOurs && sandboxKey !== '');
    for (const { network, endpointId } of ours) {
      const hub = await readHub(sandboxKey, endpointId).catch((error: Error) => error);
      found.push({ container: ours.length > 1 ? `${name} (${network})` : name, hub });
    }
  }
  return found;
}

async function readHub(sandboxKey: string, endpointId: string): Promise<HubStatus | 'no link'> {
  try {
    return firstOf(decodeGet(await ask(linkName(endpointId), getRequest)));
  } catch (error) {
    // ECONNREFUSED is of a program that has ended, and left its socket.
    if (!['ENOENT', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      throw error;
    }
    return readKernelHub(sandboxKey as NetworkNamespace, endpointId);
  }
}

/** The engine renames the link in the container, but its mark stays. */
async function readKernelHub(netns: NetworkNamespace, endpointId: string): Promise<HubStatus | 'no link'> {
  const links = await withNetlinkSocket({ protocol: NETLINK_ROUTE, netns }, listLinks);
  const link = links.find(({ alias }) => readEndpointId(alias) === endpointId);
  if (link === undefined) {
    return 'no link';
  }
  const { peers } = await withNetlinkSocket({ protocol: NETLINK_GENERIC, netns }, (socket) =>
    getDevice(socket, link.name),
  );
  return firstOf({ peers });
}

type HubStatus = Pick<PeerStatus, 'lastHandshake' | 'persistentKeepaliveInterval'>;

function firstOf({ peers }: { readonly peers: readonly HubStatus[] }): HubStatus {
  return peers[0] ?? { lastHandshake: undefined, persistentKeepaliveInterval: 0 };
}

/** Looks for containers that their hub does not answer. Says of every container when it last did. */
export function judgeHandshakes(handshakes: readonly ContainerHandshake[], now = new Date()): Finding {
  if (handshakes.length === 0) {
    return pass(name, 'no container runs');
  }
  const told = handshakes.map(({ container, hub }) => ({ container, ...tell(hub, now) }));
  const textsOf = (state: HubState) =>
    told.filter((each) => each.state === state).map(({ container, text }) => container + text);
  const states = (Object.keys(hubStates) as HubState[]).filter((state) => textsOf(state).length > 0);
  const cause = states.map((state) => `${hubStates[state].cause}: ${textsOf(state).join(', ')}`).join('; ');
  const fixes = states.flatMap((state) => hubStates[state].fix ?? []);
  if (fixes.length > 0) {
    return warn(name, cause, fixes.join('. '));
  }
  return states.includes('unread') ? skip(name, cause) : pass(name, cause);
}

type HubState = 'silent' | 'gone' | 'unread' | 'answers';

/** In the order in which they are told of. */
const hubStates: Readonly<Record<HubState, { readonly cause: string; readonly fix?: string }>> = {
  silent: {
    cause: 'the hub does not answer',
    fix:
      'compare the hub’s list of peers with `wgdriver keys` of the container’s address (seed, additional, ' +
      'derivation); then look at the network’s peer and peerkey, at firewalls for its UDP port, and at the ' +
      'clocks of both. With keepalive 0 the container must have sent something first',
  },
  gone: { cause: 'without a link', fix: 'restart the containers that have no link' },
  unread: { cause: 'cannot be read' },
  answers: { cause: 'last' },
};

function tell(
  hub: ContainerHandshake['hub'],
  now: Date,
): { readonly state: HubState; readonly text: string } {
  if (hub instanceof Error) {
    return { state: 'unread', text: ` (${hub.message})` };
  }
  if (hub === 'no link') {
    return { state: 'gone', text: '' };
  }
  const { lastHandshake, persistentKeepaliveInterval: keepalive } = hub;
  if (lastHandshake === undefined) {
    return { state: 'silent', text: ' never' };
  }
  const seconds = Math.max(0, Math.round((now.getTime() - lastHandshake.getTime()) / 1000));
  // Without keepalives, silence may mean that nobody had anything to say.
  const isSilent = keepalive > 0 && seconds > rejectAfterSeconds + keepalive;
  return {
    state: isSilent ? 'silent' : 'answers',
    text: seconds < 120 ? ` ${seconds} s ago` : ` ${Math.round(seconds / 60)} min ago`,
  };
}
