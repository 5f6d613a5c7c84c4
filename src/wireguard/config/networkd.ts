import { formatPrefix } from '../address.ts';
import type { Hub } from './hub.ts';

/** systemd.netdev(5). The key stays in its file, so this one holds no secret. */
export async function* netdev(hub: Hub): AsyncGenerator<string> {
  yield lines(
    `# ${hub.comment}`,
    '[NetDev]',
    `Name=${hub.interfaceName}`,
    'Kind=wireguard',
    '',
    '[WireGuard]',
    ...(hub.privateKeyFile === undefined ? [] : [`PrivateKeyFile=${hub.privateKeyFile}`]),
    `ListenPort=${hub.listenPort}`,
  );
  for await (const { publicKey, allowedIps } of hub.peers) {
    yield lines(
      '',
      '[WireGuardPeer]',
      `PublicKey=${publicKey}`,
      `AllowedIPs=${allowedIps.map(formatPrefix).join(',')}`,
    );
  }
}

/** systemd.network(5). */
export async function* network(hub: Hub): AsyncGenerator<string> {
  yield lines(
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
  );
}

function lines(...texts: string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}
