import { formatPrefix } from '../address.ts';
import type { HubFile } from './hub.ts';
import { peersBegin, peersEnd } from './marks.ts';

/** Where the hub's key is looked for if nobody said where it is there. */
export function networkdKeyFile(interfaceName: string): string {
  return `/etc/systemd/network/${interfaceName}.key`;
}

/** systemd.netdev(5). The private key stays in its file, so this one holds no secret but preshared keys. */
export async function* netdev(hub: HubFile): AsyncGenerator<string> {
  yield lines(
    `# ${hub.comment}`,
    '[NetDev]',
    `Name=${hub.interfaceName}`,
    'Kind=wireguard',
    '',
    '[WireGuard]',
    // Without this line networkd makes no device at all.
    `PrivateKeyFile=${hub.privateKeyFile ?? networkdKeyFile(hub.interfaceName)}`,
    `ListenPort=${hub.listenPort}`,
  );
  yield lines('', peersBegin);
  for await (const { publicKey, presharedKey, allowedIps } of hub.peers) {
    yield lines(
      '',
      '[WireGuardPeer]',
      `PublicKey=${publicKey}`,
      ...(presharedKey === undefined ? [] : [`PresharedKey=${presharedKey.toBase64()}`]),
      `AllowedIPs=${allowedIps.map(formatPrefix).join(',')}`,
    );
  }
  yield lines('', peersEnd);
}

/** systemd.network(5). */
export async function* network(hub: HubFile): AsyncGenerator<string> {
  yield lines(
    `# ${hub.comment}`,
    '[Match]',
    `Name=${hub.interfaceName}`,
    '',
    '[Network]',
    ...hub.addresses.map((address) => `Address=${formatPrefix(address)}`),
    // Without forwarding the hub drops what one container sends to another. Before systemd 256 there was
    // IPForward= alone, which switches it on for every interface of the host.
    `# systemd before 256 cannot forward for one interface: \`sysctl net/ipv4/conf/${hub.interfaceName}/forwarding=1\` there.`,
    'IPv4Forwarding=yes',
    ...(hub.addresses.some(({ address }) => address.kind() === 'ipv6') ? ['IPv6Forwarding=yes'] : []),
  );
}

function lines(...texts: string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}
