import { formatPrefix, type Prefix } from '../address.ts';
import { formatHostPort, type HostPort } from '../host-port.ts';
import type { PresharedKey, PrivateKey, PublicKey } from '../key.ts';
import { interfaceSection } from './setconf.ts';

/** One end of a tunnel that is no container: a laptop, a phone, a server. */
export interface Client {
  /** What the file is for, one line, without secrets. */
  readonly comment: string;
  readonly privateKey: PrivateKey;
  readonly addresses: readonly Prefix[];
  /** Servers and search domains. */
  readonly dns: readonly string[];
  /** Bytes. */
  readonly mtu?: number;
  readonly hub: {
    readonly publicKey: PublicKey;
    readonly presharedKey?: PresharedKey;
    readonly endpoint: HostPort;
    /** Seconds; 0 is off. */
    readonly persistentKeepaliveInterval: number;
    readonly allowedIps: readonly Prefix[];
  };
}

/** A file for wg-quick(8), and for WireGuard's apps. Holds the private key. */
export function clientConfig({ comment, privateKey, addresses, dns, mtu, hub }: Client): string {
  const own = interfaceSection({ privateKey }, [
    `Address = ${addresses.map(formatPrefix).join(', ')}`,
    ...(dns.length === 0 ? [] : [`DNS = ${dns.join(', ')}`]),
    ...(mtu === undefined ? [] : [`MTU = ${mtu}`]),
  ]);
  const peer = [
    '[Peer]',
    `PublicKey = ${hub.publicKey}`,
    ...(hub.presharedKey === undefined ? [] : [`PresharedKey = ${hub.presharedKey.toBase64()}`]),
    `AllowedIPs = ${hub.allowedIps.map(formatPrefix).join(', ')}`,
    `Endpoint = ${formatHostPort(hub.endpoint)}`,
    `PersistentKeepalive = ${hub.persistentKeepaliveInterval}`,
  ];
  return `# ${comment}\n${own}\n${peer.join('\n')}\n`;
}
