import { type Address, formatPrefix, type Prefix, parsePrefix, sameAddress } from '../address.ts';
import { smallMtuFault } from '../mtu.ts';
import { peersBegin, withoutOurs } from './marks.ts';
import { sectionsOf } from './sections.ts';
import { readWgQuick, wordsOf } from './wg-quick-reader.ts';

/** What is in a hub's file for wg-quick(8) or wg(8) and was not written by endpoint-config. */
export interface Kept {
  /** Lines of [Interface]. */
  readonly interfaceLines: readonly string[];
  readonly peers: readonly KeptPeer[];
}

interface KeptPeer {
  /** Its lines as they were, with the comment above it. */
  readonly text: readonly string[];
  readonly allowedIps: readonly Prefix[];
}

/** What the new file says itself. */
interface Ours {
  /** The address of our peer that has this prefix; undefined if none has. */
  readonly peerAt: (prefix: Prefix) => Address | undefined;
  readonly addresses: readonly Prefix[];
  /** Absent if the user has named a port for the new file, which then counts. */
  readonly listenPort?: number;
  /** Whether the new file comes with the private key. */
  readonly hasPrivateKey: boolean;
}

/**
 * Tells what is ours in a hub's file from what is not: ours is what stands between our marks, and in a file without
 * them, as of 0.1, peers whose addresses are our peers'.
 * @throws Error that names the line, of what can neither stay nor go in silence
 */
export function keptOf(text: string, ours: Ours): Kept {
  const present = text.replace('\ufeff', '').split(/\r\n|\n|\r/);
  // Blank lines in place of our own keep the numbers of the others.
  const lines = withoutOurs(present);
  const isMarked = present.some((line) => line.trim() === peersBegin);
  const { peers, listenPort, mtu } = readWgQuick(lines.join('\n'));
  if (ours.listenPort !== undefined && listenPort !== undefined && listenPort !== ours.listenPort) {
    throw new Error(
      `ListenPort is ${listenPort} in this file but would be ${ours.listenPort} in the new one: give ` +
        `--listen-port ${listenPort} to keep it, or --listen-port ${ours.listenPort} to change it`,
    );
  }
  const smallMtu = mtu === undefined ? undefined : smallMtuFault(mtu, ours.addresses);
  if (smallMtu !== undefined) {
    throw new Error(`MTU is ${mtu} in this file: ${smallMtu}`);
  }
  const starts = sectionsOf(lines.join('\n')).map(({ line }) => commentAbove(lines, line - 1));
  const blocks = starts.map((start, index) => trimmed(lines.slice(start, starts[index + 1])));
  const own = blocks.find((block) => isInterface(block)) ?? [];
  const others = blocks.filter((block) => !isInterface(block));
  return {
    interfaceLines: own.flatMap((line) => keptLine(line, ours) ?? []),
    peers: peers.flatMap(({ allowedIps, line }, index) => {
      const conflict = allowedIps.filter((prefix) => ours.peerAt(prefix) !== undefined);
      if (conflict.length > 0 && (isMarked || conflict.length < allowedIps.length)) {
        const except = new Set(conflict.map((prefix) => ours.peerAt(prefix)?.toString()));
        throw new Error(
          `line ${line}: this [Peer] has ${conflict.map(formatPrefix).join(', ')}, which a container’s peer would ` +
            `have too: leave the container’s out with --except ${[...except].join(',')}, or remove it from this [Peer]`,
        );
      }
      return conflict.length > 0 ? [] : [{ text: others[index] ?? [], allowedIps }];
    }),
  };
}

/** Did the file have the hub’s private key? */
export function hasKeptKey(kept: Kept | undefined): boolean {
  return kept?.interfaceLines.some((line) => /^\s*privatekey\s*=/i.test(line)) === true;
}

/** Did a peer of somebody’s have a preshared key? */
export function hasKeptPresharedKey(kept: Kept | undefined): boolean {
  return kept?.peers.some(({ text }) => text.some((line) => /^\s*presharedkey\s*=/i.test(line))) === true;
}

/** The first of the comment lines right above a heading. */
function commentAbove(lines: readonly string[], heading: number): number {
  let first = heading;
  while (
    first > 0 &&
    lines[first - 1]?.trimStart().startsWith('#') &&
    !isOurComment(lines[first - 1] ?? '')
  ) {
    first -= 1;
  }
  return first;
}

function trimmed(block: readonly string[]): string[] {
  const last = block.findLastIndex((line) => line.trim() !== '');
  return block.slice(0, last + 1);
}

function isInterface(block: readonly string[]): boolean {
  return block.some((line) => /^\s*\[\s*interface\s*\]/i.test(line));
}

function isOurComment(line: string): boolean {
  return line.trim().startsWith('# wgdriver');
}

/** What the new file does not have by itself of a line of [Interface]; undefined if it has all of it. */
function keptLine(line: string, { addresses, hasPrivateKey }: Ours): string | undefined {
  const [content = '', ...comment] = line.split('#');
  const [key = '', value = ''] = content.split(/=(.*)/s, 2).map((part) => part.trim());
  const name = key.replaceAll(/\s/g, '').toLowerCase();
  if (line.trim() === '' || name.startsWith('[') || isOurComment(line)) {
    return undefined;
  }
  switch (name) {
    case 'listenport':
      return undefined;
    case 'privatekey':
      return hasPrivateKey ? undefined : line;
    case 'address': {
      const words = wordsOf(value);
      const others = words.filter((word) => !addresses.some((own) => isTaken(own, word)));
      if (others.length === 0 || others.length === words.length) {
        return others.length === 0 ? undefined : line;
      }
      return [`${key} = ${others.join(', ')}`, ...comment].join(comment.length === 0 ? '' : ' #');
    }
    case 'table':
      return value.toLowerCase() === 'off' ? undefined : line;
    case 'postup':
      // With the one that 0.1 wrote.
      return value.includes('echo "wgdriver: ') || value === 'sysctl -q -w net/ipv4/conf/%i/forwarding=1'
        ? undefined
        : line;
    default:
      return line;
  }
}

/** Would the kernel refuse this address beside ours? An IPv6 address, whatever its prefix length. */
function isTaken({ address, length }: Prefix, word: string): boolean {
  const other = parsePrefix(word);
  return (
    other !== undefined &&
    sameAddress(other.address, address) &&
    (other.length === length || address.kind() === 'ipv6')
  );
}
