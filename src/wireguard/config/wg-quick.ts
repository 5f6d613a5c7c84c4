import { covers, formatPrefix } from '../address.ts';
import type { HubFile } from './hub.ts';
import { hasKeptKey, type Kept } from './kept.ts';
import { peersBegin, peersEnd } from './marks.ts';
import { interfaceSection, peerSection } from './setconf.ts';

/** Where a file without the key has it read from. */
export function wgQuickKeyFile(interfaceName: string): string {
  return `/etc/wireguard/${interfaceName}.key`;
}

/** A file for wg-quick(8), /etc/wireguard/INTERFACE.conf. Holds the private key. */
export async function* wgQuick(hub: HubFile): AsyncGenerator<string> {
  const { addresses, kept } = hub;
  yield `# ${hub.comment}\n`;
  yield interfaceSection(hub, [
    ...addresses.map((address) => `Address = ${formatPrefix(address)}`),
    ...routes(hub),
    ...hooks(hub),
    ...(kept?.interfaceLines ?? []),
  ]);
  yield* peerSections(hub, kept);
}

/** A file for `wg setconf`, `wg syncconf` or `wg addconf` (wg(8)). Holds the private key. */
export async function* wgSetconf(hub: HubFile): AsyncGenerator<string> {
  yield `# ${hub.comment}\n`;
  yield interfaceSection(hub, hub.kept?.interfaceLines);
  yield* peerSections(hub, hub.kept);
}

/**
 * wg-quick looks for a route for each peer, which takes minutes for a /16. Containers have that of their subnet, and what
 * somebody else's peers have beside it gets its routes here.
 */
function routes({ addresses, kept }: HubFile): string[] {
  const others = (kept?.peers.flatMap(({ allowedIps }) => allowedIps) ?? []).filter(
    (prefix) => !addresses.some((own) => covers(own, prefix)),
  );
  // For a default route wg-quick makes rules and a table, so that the tunnel's own packets still leave.
  const isWgQuicks =
    others.some(({ length }) => length === 0) ||
    kept?.interfaceLines.some((line) => /^\s*table\s*=/i.test(line));
  return isWgQuicks
    ? []
    : [
        'Table = off',
        ...others.map((prefix) => {
          const command = `ip ${prefix.address.kind() === 'ipv6' ? '-6 ' : ''}route add ${formatPrefix(prefix)} dev %i`;
          return hook(command, `%i has no route to ${formatPrefix(prefix)}: run ${command}`);
        }),
      ];
}

/** What does not work must not take the link away: a hook that fails has wg-quick undo all. */
function hook(command: string, otherwise: string): string {
  return `PostUp = ${command} || echo "wgdriver: ${otherwise}" >&2`;
}

function hooks(hub: HubFile): string[] {
  const { interfaceName, addresses, privateKey, privateKeyFile = wgQuickKeyFile(interfaceName) } = hub;
  return [
    ...(privateKey === undefined && !hasKeptKey(hub.kept)
      ? [
          hook(
            `wg set %i private-key ${privateKeyFile}`,
            `%i has no private key yet: put it into ${privateKeyFile}, and run wg set %i private-key ${privateKeyFile}`,
          ),
        ]
      : []),
    // Without it the hub drops what one container sends to another. Forwarding follows the interface a packet comes
    // in by, so the host routes for its tunnels alone. With slashes, as a name may have dots.
    hook(
      'sysctl -q -w net/ipv4/conf/%i/forwarding=1',
      'containers reach %i alone until net/ipv4/conf/%i/forwarding is 1, which cannot be set from here',
    ),
    ...(addresses.some(({ address }) => address.kind() === 'ipv6')
      ? [
          // An interface's own switch exists from Linux 6.17 on; the one for all changes what other interfaces do.
          hook(
            'grep -qs 1 /proc/sys/net/ipv6/conf/all/forwarding || sysctl -q -w net/ipv6/conf/%i/force_forwarding=1 2>/dev/null',
            'by IPv6 containers reach %i alone until net/ipv6/conf/all/forwarding is 1; interfaces that take router ' +
              'advertisements need accept_ra=2 with it',
          ),
        ]
      : []),
    hook(
      "! iptables -S FORWARD 2>/dev/null | grep -q -e '-P FORWARD DROP'",
      'the firewall of this host drops what it forwards, so containers reach %i alone: allow it by ' +
        'iptables -I FORWARD -i %i -j ACCEPT and iptables -I FORWARD -o %i -j ACCEPT, with Docker in DOCKER-USER',
    ),
  ];
}

async function* peerSections({ peers }: HubFile, kept: Kept | undefined): AsyncGenerator<string> {
  for (const { text } of kept?.peers ?? []) {
    yield `\n${text.join('\n')}\n`;
  }
  yield `\n${peersBegin}\n`;
  for await (const peer of peers) {
    yield `\n${peerSection(peer)}`;
  }
  yield `\n${peersEnd}\n`;
}
