import { formatPrefix } from '../address.ts';
import { type Device, formatEndpoint, type Peer } from '../device.ts';
import type { PrivateKey } from '../key.ts';

/** A configuration file as `wg setconf` reads it (wg(8)). Holds the private key. */
export function setconf(device: Device): string {
  return [interfaceSection(device), ...device.peers.map(peerSection)].join('\n');
}

export function interfaceSection(
  {
    privateKey,
    listenPort,
    fwmark,
  }: { readonly privateKey?: PrivateKey; readonly listenPort?: number; readonly fwmark?: number },
  more: readonly string[] = [],
): string {
  return section('Interface', [
    privateKey && `PrivateKey = ${privateKey.toBase64()}`,
    listenPort !== undefined && `ListenPort = ${listenPort}`,
    fwmark !== undefined && `FwMark = ${fwmark}`,
    ...more,
  ]);
}

/** Without `AllowedIPs` it has none: `wg` takes no line without a value, and resets what it does not read. */
export function peerSection(peer: Peer): string {
  const { publicKey, presharedKey, endpoint, persistentKeepaliveInterval, allowedIps } = peer;
  return section('Peer', [
    `PublicKey = ${publicKey}`,
    presharedKey && `PresharedKey = ${presharedKey.toBase64()}`,
    endpoint && `Endpoint = ${formatEndpoint(endpoint)}`,
    persistentKeepaliveInterval !== undefined && `PersistentKeepalive = ${persistentKeepaliveInterval}`,
    allowedIps.length > 0 && `AllowedIPs = ${allowedIps.map(formatPrefix).join(', ')}`,
  ]);
}

function section(title: string, lines: readonly (string | false | undefined)[]): string {
  return `[${title}]\n${lines.filter((line) => typeof line === 'string').join('\n')}\n`;
}
