import { access } from 'node:fs/promises';
import { createLimit } from '../concurrency.ts';
import type { Place } from '../links/links.ts';
import { optionPrefix } from '../networks/options.ts';
import type { Address } from '../wireguard/address.ts';
import { handshakeAgeMs, type SeenHandshakes } from '../wireguard/handshake-age.ts';
import { linkName } from '../wireguard/link-name.ts';
import { type LinkStatus, type PeerStatus, rejectAfterMs } from '../wireguard/status.ts';
import type { Survey } from './engine-survey.ts';
import { type Finding, pass, skip, warn } from './finding.ts';
import type { HostVpn } from './host-vpn.ts';

const name = 'handshakes';

/** What the link of a container on a network of ours says; no link; or why it could not be read. */
export interface ContainerHandshakes {
  /** `app`, or `app (wgnet)` for one that is on several networks of ours. */
  readonly container: string;
  readonly link:
    | { readonly peers: readonly PeerHandshake[]; readonly fwmark?: number }
    | 'no link'
    | 'shared'
    | Error;
}

type PeerHandshake = Pick<PeerStatus, 'publicKey' | 'persistentKeepaliveInterval'> &
  Partial<Pick<PeerStatus, 'endpoint'>> & {
    /** Of the last handshake; undefined if there was none. */
    readonly ageMs: number | undefined;
  };

/** Links are read beside one another, and no more at once: a host may have hundreds. */
const readsAtOnce = 8;

/**
 * Reads the link of each container on the driver's networks.
 * @param seen what the driver says, by the endpoints' ids; it knows a handshake's age also after the clock was set
 */
export async function probeHandshakes(
  { containers }: Pick<Survey, 'containers'>,
  read: (place: Place) => Promise<LinkStatus | undefined>,
  seen: ReadonlyMap<string, SeenHandshakes>,
  now = () => performance.now(),
  unixNow = Date.now,
): Promise<ContainerHandshakes[]> {
  const limited = createLimit(readsAtOnce);
  const readIn = async (sandbox: string, endpointId: string): Promise<ContainerHandshakes['link']> => {
    // The folder of the files may be another one here, as in a container; then nothing is known.
    await access(sandbox);
    const link = await read({ name: linkName(endpointId), endpointId, sandbox });
    return link === undefined
      ? 'no link'
      : {
          fwmark: link.fwmark,
          peers: link.peers.map((peer) => ({
            ...peer,
            ageMs: handshakeAgeMs(peer, seen.get(endpointId), now(), unixNow()),
          })),
        };
  };
  const found = containers.flatMap(({ name, sandboxKey, attachments }) => {
    // Without a namespace it has ended since it was listed.
    const ours = attachments.filter(({ isOurs }) => isOurs && sandboxKey !== '');
    return ours.map(async ({ network, endpointId, isShared }) => ({
      container: ours.length > 1 ? `${name} (${network})` : name,
      link: isShared
        ? ('shared' as const)
        : await limited(() => readIn(sandboxKey, endpointId)).catch((error: Error) => error),
    }));
  });
  return Promise.all(found);
}

/** Where packets to the hubs that do not answer go, each once. */
export function silentEndpoints(
  handshakes: readonly ContainerHandshakes[],
): { readonly address: Address; readonly fwmark: number }[] {
  const silent = handshakes.flatMap(({ link }) => {
    const isRead = typeof link === 'object' && !(link instanceof Error);
    return (isRead ? link.peers : []).flatMap((peer) =>
      peer.endpoint !== undefined && tellPeer(peer).state === 'silent'
        ? { address: peer.endpoint.address, fwmark: (isRead && link.fwmark) || 0 }
        : [],
    );
  });
  return [...new Map(silent.map((each) => [`${each.address.toString()} ${each.fwmark}`, each])).values()];
}

/**
 * Looks for containers that their hub does not answer. Says of every container when it last did.
 * @param vpn by which packets to a hub that does not answer leave this host; or why that is not known
 */
export function judgeHandshakes(handshakes: readonly ContainerHandshakes[], vpn?: HostVpn | Error): Finding {
  if (handshakes.length === 0) {
    return pass(name, 'no container runs');
  }
  const told = handshakes.flatMap(({ container, link }) => tell(container, link));
  const textsOf = (state: HubState) => told.filter((each) => each.state === state).map(({ text }) => text);
  const states = (Object.keys(hubStates) as HubState[]).filter((state) => textsOf(state).length > 0);
  const cause = states.map((state) => `${hubStates[state].cause}: ${textsOf(state).join(', ')}`).join('; ');
  const fixes = states.flatMap((state) =>
    state === 'silent' && vpn !== undefined ? fixBesideVpn(vpn) : (hubStates[state].fix ?? []),
  );
  if (fixes.length > 0) {
    return warn(name, cause, fixes.join('. '));
  }
  return states.includes('unread') ? skip(name, cause) : pass(name, cause);
}

type HubState = 'silent' | 'gone' | 'peerless' | 'unread' | 'shared' | 'answers';

/** In the order in which they are told of. */
const hubStates: Readonly<Record<HubState, { readonly cause: string; readonly fix?: string }>> = {
  silent: {
    cause: 'the hub does not answer',
    fix: 'check that the hub has the peer that `wgdriver keys` prints for the container’s address (the IPv4 one if it has both) with the network’s seed, additional and derivation; then check the network’s peer and peerkey, the firewalls for its UDP port, and both clocks. With keepalive 0 the container must have sent something first',
  },
  gone: { cause: 'without a link', fix: 'restart the containers that have no link' },
  peerless: { cause: 'without a peer', fix: 'restart the containers whose link has no peer' },
  unread: { cause: 'cannot be read' },
  shared: { cause: 'on a shared tunnel, which `wgdriver status` shows' },
  answers: { cause: 'last' },
};

function fixBesideVpn(vpn: HostVpn | Error): string {
  if (vpn instanceof Error) {
    return `${hubStates.silent.fix}. A VPN on this host may be in the way, which could not be checked: ${vpn.message}`;
  }
  const { link, fwmark } = vpn;
  const mark = fwmark === 0 ? 'MARK' : `0x${fwmark.toString(16)}`;
  const where = fwmark === 0 ? ', a mark whose packets its rules leave out (`ip rule`)' : '';
  return `packets to the hub leave by ${link}, a VPN on this host. If the hub is not behind it, create the network with -o ${optionPrefix}fwmark=${mark}${where}`;
}

interface Told {
  readonly state: HubState;
  readonly text: string;
}

function tell(container: string, link: ContainerHandshakes['link']): Told[] {
  if (link instanceof Error) {
    return [{ state: 'unread', text: `${container} (${link.message})` }];
  }
  if (link === 'no link' || link === 'shared') {
    return [{ state: link === 'shared' ? link : 'gone', text: container }];
  }
  if (link.peers.length === 0) {
    return [{ state: 'peerless', text: container }];
  }
  return link.peers.map((peer) => {
    const label = link.peers.length === 1 ? container : `${container}, peer ${peer.publicKey.slice(0, 8)}…,`;
    const { state, text } = tellPeer(peer);
    return { state, text: `${label} ${text}` };
  });
}

function tellPeer({ ageMs, persistentKeepaliveInterval: keepalive }: PeerHandshake): Told {
  if (ageMs === undefined) {
    return { state: 'silent', text: 'never' };
  }
  const seconds = Math.round(ageMs / 1000);
  // Without keepalives, silence may mean that nobody had anything to say.
  const isSilent = keepalive > 0 && seconds > rejectAfterMs / 1000 + keepalive;
  return {
    state: isSilent ? 'silent' : 'answers',
    text: seconds < 120 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`,
  };
}
