import { formatPrefix } from '../address.ts';
import type { Peer } from '../device.ts';
import type { Hub } from './hub.ts';

/** systemd.netdev(5). The key stays in its file, so this one holds no secret. */
export function netdev(hub: Hub): string {
  return [
    `# ${hub.comment}`,
    '[NetDev]',
    `Name=${hub.interfaceName}`,
    'Kind=wireguard',
    '',
    '[WireGuard]',
    ...(hub.privateKeyFile === undefined ? [] : [`PrivateKeyFile=${hub.privateKeyFile}`]),
    `ListenPort=${hub.listenPort}`,
    ...hub.peers.flatMap(peerLines),
    '',
  ].join('\n');
}

/** systemd.network(5). */
export function network(hub: Hub): string {
  return [
    `# ${hub.comment}`,
    '[Match]',
    `Name=${hub.interfaceName}`,
    '',
    '[Network]',
    `Address=${hub.address.toString()}/${hub.subnet.length}`,
    // Without forwarding the hub drops what one container sends to another. systemd 256 renamed the
    // setting, and each version passes over the name that it does not know.
    'IPv4Forwarding=yes',
    'IPForward=ipv4',
    '',
  ].join('\n');
}

function peerLines({ publicKey, allowedIps }: Peer): string[] {
  return [
    '',
    '[WireGuardPeer]',
    `PublicKey=${publicKey}`,
    `AllowedIPs=${allowedIps.map(formatPrefix).join(',')}`,
  ];
}
