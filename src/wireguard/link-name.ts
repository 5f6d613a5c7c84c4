import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';

/** IFNAMSIZ less the final zero. */
const maxLinkName = 15;

/**
 * The name of an endpoint's link on the host, the same at every start of the driver. A hash, so that any
 * id will do. With its 48 bits the odds of any clash among 100,000 links are 1 in 56,000, and a clash is an
 * error of `create`, not a mix-up.
 */
export function linkName(endpointId: string): string {
  return `wgd${bytesToHex(sha256(utf8ToBytes(endpointId)))}`.slice(0, maxLinkName);
}

/** What a tunnel's link is called in its container: wg0, wg1, … by the engine's count. */
export const containerLinkPrefix = 'wg';
