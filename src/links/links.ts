import type { Device } from '../wireguard/device.ts';

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

/** How WireGuard links come to be and go, in the network namespace this process is in. */
export interface Links {
  /**
   * Makes a link, marked as its owner's and down: the engine takes it down anyway, and one that is up
   * makes that cost 40 ms more.
   * @throws LinkError, with code EEXIST if there is a link of that name; then nothing was made
   */
  create(link: NewLink): Promise<void>;
  /** Gives a link its key and peers. @throws LinkError */
  configure(name: string, device: Device): Promise<void>;
  /**
   * Deletes a link, if it is there.
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
  /** The owner's links in this namespace; those in containers' are not seen. */
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
