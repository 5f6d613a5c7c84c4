import { formatPrefix, masked, type Prefix } from '../wireguard/address.ts';
import type { LinkChange, PeerChange } from '../wireguard/change.ts';
import type { Device, Peer } from '../wireguard/device.ts';
import { type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import type { DeviceStatus, PeerStatus } from '../wireguard/status.ts';

/** Any but 0 sends a keepalive at once, and with it a handshake. */
const promptingKeepalive = 25;

/**
 * What makes a running link the one that its network asks for now: keys, preshared keys, keepalives and peers, with a
 * handshake at once where the old sessions are of no use. An endpoint stays where WireGuard has found it.
 * @param moved peers that have another endpoint in the files than before
 * @returns undefined if there is nothing to do
 * @throws Error if other prefixes are to go into the tunnel: the routes to it were set when the container started
 */
export function renewalOf(
  status: Pick<DeviceStatus, 'publicKey' | 'peers'>,
  { privateKey, peers }: Pick<Device, 'privateKey' | 'peers'>,
  moved: ReadonlySet<PublicKey>,
): LinkChange | undefined {
  const prefixesOf = (all: readonly { readonly allowedIps: readonly Prefix[] }[]) =>
    new Set(all.flatMap(({ allowedIps }) => allowedIps.map((prefix) => formatPrefix(masked(prefix)))));
  if (!isSame(prefixesOf(status.peers), prefixesOf(peers))) {
    throw new Error('AllowedIPs have changed: restart the container, whose routes are set when it starts');
  }
  const isNewKey = status.publicKey !== publicKeyOf(privateKey);
  const wanted = new Set(peers.map(({ publicKey }) => publicKey));
  const changes: PeerChange[] = [
    ...status.peers
      .filter(({ publicKey }) => !wanted.has(publicKey))
      .map(({ publicKey }) => ({ publicKey, remove: true })),
    ...peers.flatMap((peer) => {
      const present = status.peers.find(({ publicKey }) => publicKey === peer.publicKey);
      return peerRenewal(peer, present, { isNewKey, isMoved: moved.has(peer.publicKey) });
    }),
  ];
  return isNewKey || changes.length > 0 ? { ...(isNewKey && { privateKey }), peers: changes } : undefined;
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
