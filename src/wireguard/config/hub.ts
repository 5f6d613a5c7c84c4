import type { Address, Prefix } from '../address.ts';
import type { Peer } from '../device.ts';
import type { PrivateKey } from '../key.ts';

/** The hub's end of the tunnels, as its configuration files tell it; each comes in pieces of text. */
export interface Hub {
  /** What the files are for, one line, without secrets. */
  readonly comment: string;
  readonly interfaceName: string;
  /** The hub's address in the subnet. */
  readonly address: Address;
  readonly subnet: Prefix;
  readonly listenPort: number;
  /** Absent: the file leaves the key out, and the hub needs one before it works. */
  readonly privateKey?: PrivateKey;
  /** Where the key is, absolute. */
  readonly privateKeyFile?: string;
  /** Whether peers come with preshared keys, and files with them are secret. */
  readonly hasPresharedKeys?: boolean;
  /** May be many: they are written as they come. */
  readonly peers: Iterable<Peer> | AsyncIterable<Peer>;
}
