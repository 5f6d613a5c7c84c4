import type { Prefix } from '../address.ts';
import type { Peer } from '../device.ts';
import type { PrivateKey } from '../key.ts';
import type { Kept } from './kept.ts';

/** The hub's end of the tunnels, as its configuration files tell it; each comes in pieces of text. */
export interface HubFile {
  /** What the files are for, one line, without secrets. */
  readonly comment: string;
  readonly interfaceName: string;
  /** The hub's address in each subnet, with the subnet's length. */
  readonly addresses: readonly Prefix[];
  readonly listenPort: number;
  /** Absent: the file leaves the key out, and the hub needs one before it works. */
  readonly privateKey?: PrivateKey;
  /** Where the key is on the hub, absolute; absent: where keyFileOf looks for it. */
  readonly privateKeyFile?: string;
  /** Whether peers come with preshared keys, and files with them are secret. */
  readonly hasPresharedKeys?: boolean;
  /** May be many: they are written as they come. */
  readonly peers: Iterable<Peer> | AsyncIterable<Peer>;
  /** What somebody else wrote into the hub's file. */
  readonly kept?: Kept;
}
