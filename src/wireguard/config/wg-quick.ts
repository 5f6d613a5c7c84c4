import type { Hub } from './hub.ts';
import { interfaceSection, peerSection } from './setconf.ts';

/** A file for wg-quick(8), /etc/wireguard/INTERFACE.conf. Holds the private key. */
export function wgQuick(hub: Hub): string {
  const more = [
    `Address = ${hub.address.toString()}/${hub.subnet.length}`,
    // Without it the hub drops what one container sends to another. Forwarding follows the interface a
    // packet comes in by, so the host routes for its tunnels alone.
    `PostUp = sysctl -q -w net.ipv4.conf.%i.forwarding=1`,
  ];
  return [`# ${hub.comment}\n${interfaceSection(hub, more)}`, ...hub.peers.map(peerSection)].join('\n');
}

/** A file for `wg setconf`, `wg syncconf` or `wg addconf` (wg(8)). Holds the private key. */
export function wgSetconf(hub: Hub): string {
  return [`# ${hub.comment}\n${interfaceSection(hub)}`, ...hub.peers.map(peerSection)].join('\n');
}
