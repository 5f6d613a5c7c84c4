import { formatPrefix, masked, type Prefix, sameAddress } from '../wireguard/address.ts';
import type { LinkChange, PeerChange } from '../wireguard/change.ts';
import type { Device, Peer, PeerEndpoint } from '../wireguard/device.ts';
import { formatHostPort } from '../wireguard/host-port.ts';
import { type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import type { DeviceStatus, LinkStatus, PeerStatus } from '../wireguard/status.ts';
import type { Mtu } from './options.ts';
import type { TunnelPeer } from './tunnel.ts';

/** Any but 0 sends a keepalive at once, and with it a handshake. */
const promptingKeepalive = 25;

/**
 * What makes a running link the one that its network asks for now: keys, preshared keys, keepalives, peers, mark, port
 * and MTU, with a handshake at once where the old sessions are of no use. An endpoint stays where WireGuard has found it.
 * @param moved peers that may have another endpoint in the files than the link was last given
 * @param mtu that it is to have; one that is computed follows the way to the hub by itself (driver/hub-watch.ts)
 * @returns undefined if there is nothing to do
 */
export function renewalOf(
  status: Pick<LinkStatus, 'publicKey' | 'listenPort' | 'fwmark' | 'mtu' | 'peers'>,
  { privateKey, listenPort = status.listenPort, fwmark = 0, peers }: Device,
  moved: ReadonlySet<PublicKey>,
  mtu: Mtu,
): LinkChange | undefined {
  const isNewKey = status.publicKey !== publicKeyOf(privateKey);
  const wanted = new Set(peers.map(({ publicKey }) => publicKey));
  const presents = new Map(status.peers.map((present) => [present.publicKey, present]));
  const changes: PeerChange[] = [
    ...status.peers
      .filter(({ publicKey }) => !wanted.has(publicKey))
      .map(({ publicKey }) => ({ publicKey, remove: true })),
    ...peers.flatMap((peer) => {
      const present = presents.get(peer.publicKey);
      const isMoved = moved.has(peer.publicKey) && !isAt(peer.endpoint, present);
      return peerRenewal(peer, present, { isNewKey, isMoved });
    }),
  ];
  const ofDevice = {
    ...(isNewKey && { privateKey }),
    ...(listenPort !== status.listenPort && { listenPort }),
    ...(fwmark !== status.fwmark && { fwmark }),
    ...(mtu !== 'auto' && status.mtu !== undefined && mtu !== status.mtu && { mtu }),
  };
  return Object.keys(ofDevice).length > 0 || changes.length > 0 ? { ...ofDevice, peers: changes } : undefined;
}

/** Are other prefixes to go into the tunnel than do now? */
export function hasOtherPrefixes(
  status: Pick<DeviceStatus, 'peers'>,
  { peers }: { readonly peers: readonly Pick<Peer, 'allowedIps'>[] },
): boolean {
  const prefixesOf = (all: readonly { readonly allowedIps: readonly Prefix[] }[]) =>
    new Set(all.flatMap(({ allowedIps }) => allowedIps.map((prefix) => formatPrefix(masked(prefix)))));
  return !isSame(prefixesOf(status.peers), prefixesOf(peers));
}

/** The peers that have another endpoint than before. */
export function movedPeers(before: readonly TunnelPeer[], peers: readonly TunnelPeer[]): PublicKey[] {
  const texts = new Map(
    before.map(({ publicKey, endpoint }) => [publicKey, endpoint && formatHostPort(endpoint)]),
  );
  return peers
    .filter(
      ({ publicKey, endpoint }) =>
        endpoint !== undefined && texts.has(publicKey) && texts.get(publicKey) !== formatHostPort(endpoint),
    )
    .map(({ publicKey }) => publicKey);
}

/** Without an endpoint a peer may be anywhere. */
function isAt(endpoint: PeerEndpoint | undefined, present: PeerStatus | undefined): boolean {
  const now = present?.endpoint;
  return (
    endpoint === undefined ||
    (now !== undefined && sameAddress(now.address, endpoint.address) && now.port === endpoint.port)
  );
}

function peerRenewal(
  { publicKey, presharedKey, endpoint, persistentKeepaliveInterval: interval = 0, allowedIps }: Peer,
  present: PeerStatus | undefined,
  { isNewKey, isMoved }: { readonly isNewKey: boolean; readonly isMoved: boolean },
): PeerChange[] {
  const known = new Set(present?.allowedIps.map(formatPrefix));
  const hasOthers = !isSame(known, new Set(allowedIps.map((prefix) => formatPrefix(masked(prefix)))));
  const settings: Omit<PeerChange, 'publicKey'> = {
    // Which one a link has cannot be seen, so it is given again.
    ...(presharedKey !== undefined && { presharedKey }),
    ...(presharedKey === undefined && present?.hasPresharedKey && { presharedKey: 'none' as const }),
    ...(endpoint !== undefined && (present === undefined || isMoved) && { endpoint }),
    ...((present === undefined || hasOthers) && { allowedIps }),
  };
  if (isNewKey || isMoved || present === undefined) {
    return [
      { publicKey, ...settings, persistentKeepaliveInterval: 0 },
      { publicKey, persistentKeepaliveInterval: interval || promptingKeepalive },
      ...(interval === 0 ? [{ publicKey, persistentKeepaliveInterval: 0 }] : []),
    ];
  }
  const isOther = present.persistentKeepaliveInterval !== interval;
  return isOther || Object.keys(settings).length > 0
    ? [{ publicKey, ...settings, ...(isOther && { persistentKeepaliveInterval: interval }) }]
    : [];
}

function isSame(some: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return some.size === others.size && [...some].every((each) => others.has(each));
}
