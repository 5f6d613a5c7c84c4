import { type Address, type Prefix, parsePrefix } from '../address.ts';
import { peersBegin, withoutOurs } from './marks.ts';

/** Lines of peers as networkd's file and JSON have them, but those with addresses. */
const peerLine =
  /^(?:\[WireGuardPeer|PublicKey=|PresharedKey=|"publicKey": "|"presharedKey": "|"allowedIps":)/;

/**
 * The lines of a hub's file for networkd or in JSON that would be gone if it were written anew.
 * @param header the new file without peers
 * @param peerAt the address of our peer that has a prefix
 * @returns their numbers, from 1
 * @throws Error that names the line
 */
export function lostLines(
  present: string,
  header: string,
  peerAt: (prefix: Prefix) => Address | undefined,
): number[] {
  const again = new Set(header.split('\n').map(bare));
  const lines = present.split(/\r\n|\n|\r/);
  const isMarked = lines.some((line) => line.trim() === peersBegin);
  const isOurPeers = (line: string) => {
    const addresses = /^(?:AllowedIPs=|")([0-9a-f.:/,]+)"?$/i.exec(line)?.[1]?.split(',');
    return addresses === undefined
      ? peerLine.test(line)
      : addresses.every((text) => {
          const prefix = parsePrefix(text);
          return prefix !== undefined && peerAt(prefix) !== undefined;
        });
  };
  return withoutOurs(lines).flatMap((raw, index) => {
    const line = bare(raw);
    const isKnown =
      line === '' || line.startsWith('# wgdriver') || again.has(line) || (!isMarked && isOurPeers(line));
    return isKnown ? [] : [index + 1];
  });
}

/** Without what JSON has around and between lines. */
function bare(line: string): string {
  return line.trim().replace(/[\s,{}[\]]+$/, '');
}
