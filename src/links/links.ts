import type { LinkChange } from '../wireguard/change.ts';
import type { Device } from '../wireguard/device.ts';
import type { DeviceStatus, LinkStatus } from '../wireguard/status.ts';

/** A WireGuard link to make. */
export interface NewLink {
  /** At most 15 characters (IFNAMSIZ less the final zero), unique on the host. */
  readonly name: string;
  readonly mtu: number;
  /** Goes into the link's ifalias behind the owner's mark; no white space, together under 256 bytes. */
  readonly endpointId: string;
}

/** A link that carries its owner's mark. */
export interface OwnedLink {
  readonly name: string;
  readonly endpointId: string;
}

/** Where to look for a link: in its container by its mark, and then on the host. */
export interface Place {
  /** What it was made with, and what it is called on the host; the engine renames it in the container. */
  readonly name: string;
  /** Absent: the host's link of that name is meant, marked or not. */
  readonly endpointId?: string;
  /** The file of the container's network namespace. If it is absent or gone, the link can only be on the host. */
  readonly sandbox?: string | undefined;
}

/** How WireGuard links come to be and go, in the network namespace of this process and in containers'. */
export interface Links {
  readonly backend: 'netlink' | 'iproute' | 'userspace';
  /**
   * Makes a link, marked as its owner's and down: the engine takes it down anyway, and one that is up
   * makes that cost 40 ms more.
   * @returns its number, where that costs nothing
   * @throws LinkError, with code EEXIST if there is a link of that name; then nothing was made
   */
  create(link: NewLink): Promise<number | undefined>;
  /** Gives a link on the host its key and peers. @throws LinkError */
  configure(name: string, device: Device): Promise<void>;
  /** A link as it is now, wherever it is; undefined if it is nowhere. @throws LinkError */
  read(place: Place): Promise<LinkStatus | undefined>;
  /** The same without name and MTU, which take a userspace link a program: for a look that must not take long. */
  readDevice(place: Place): Promise<DeviceStatus | undefined>;
  /**
   * Changes a link wherever it is, and nothing of it that the change does not name: sessions go on unless a key
   * changes. What fails may have been done in part.
   * @throws LinkError, with code ENODEV if it is nowhere
   */
  change(place: Place, change: LinkChange): Promise<void>;
  /**
   * Deletes a link on the host, if it is there.
   * @throws LinkError; also if it does not carry the owner's mark: then it is left alone
   */
  delete(name: string): Promise<void>;
  /**
   * Deletes what a `create` that was cut short has left under this name: a link of the kind that it makes,
   * marked or with no alias at all. Anything else of that name is left alone, which is no error. Only for
   * who knows that nothing had the name when `create` began.
   * @throws LinkError
   */
  deleteUnfinished(name: string): Promise<void>;
  /**
   * Deletes a link that is recorded as the owner's, whatever its alias has become: a container's root can change it.
   * @throws LinkError; also if it is not of the kind that `create` makes: then it is left alone
   */
  deleteRecorded(name: string): Promise<void>;
  /** The owner's links on the host; those in containers are not seen. */
  list(): Promise<OwnedLink[]>;
}

/** What an operation on a link met: `create link wgd1a2b3c: File exists`. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
  readonly code: string | undefined;

  constructor(operation: string, link: string, cause: string, code?: string) {
    // What programs say has lines; an error goes into one of the log, and of the user's terminal.
    super(`${operation} link ${link}: ${cause.trim().replaceAll(/\s*\n\s*/g, '; ')}`);
    this.code = code;
  }
}

/** For a change of a link that is neither in its container nor on the host. */
export function nowhere({ name }: Place): LinkError {
  return new LinkError('change', name, 'it is neither in its container nor on the host', 'ENODEV');
}
