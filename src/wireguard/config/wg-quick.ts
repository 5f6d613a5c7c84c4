import type { Hub } from './hub.ts';
import { interfaceSection, peerSection } from './setconf.ts';

/** A file for wg-quick(8), /etc/wireguard/INTERFACE.conf. Holds the private key. */
export async function* wgQuick(hub: Hub): AsyncGenerator<string> {
  yield `# ${hub.comment}\n`;
  yield interfaceSection(hub, [
    `Address = ${hub.address.toString()}/${hub.subnet.length}`,
    // Without it the hub drops what one container sends to another. Forwarding follows the interface a
    // packet comes in by, so the host routes for its tunnels alone. With slashes, as a name may have dots.
    'PostUp = sysctl -q -w net/ipv4/conf/%i/forwarding=1',
  ]);
  yield* peerSections(hub);
}

/** A file for `wg setconf`, `wg syncconf` or `wg addconf` (wg(8)). Holds the private key. */
export async function* wgSetconf(hub: Hub): AsyncGenerator<string> {
  yield `# ${hub.comment}\n`;
  yield interfaceSection(hub);
  yield* peerSections(hub);
}

async function* peerSections({ peers }: Hub): AsyncGenerator<string> {
  for await (const peer of peers) {
    yield `\n${peerSection(peer)}`;
  }
}
