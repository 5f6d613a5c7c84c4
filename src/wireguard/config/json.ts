import { formatPrefix } from '../address.ts';
import type { Hub } from './hub.ts';

/** The hub's configuration for programs; the private key stays in its file. */
export function hubJson(hub: Hub): string {
  const { interfaceName, address, subnet, listenPort, privateKeyFile, peers } = hub;
  const document = {
    interface: interfaceName,
    address: `${address.toString()}/${subnet.length}`,
    listenPort,
    privateKeyFile,
    peers: peers.map(({ publicKey, allowedIps }) => ({
      publicKey,
      allowedIps: allowedIps.map(formatPrefix),
    })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
