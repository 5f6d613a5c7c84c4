import type { Prefix } from '../wireguard/address.ts';
import type { HubTable } from './rules.ts';

/** A link of the hub's namespace, as far as the hub looks at it. */
export interface HostLink {
  readonly index: number;
  /** `wireguard`, `tun` for a userspace one, … */
  readonly kind: string | undefined;
  readonly alias: string | undefined;
  readonly isUp: boolean;
  readonly mtu: number | undefined;
}

/** A route of the main table that leads somewhere else than to the hub's link. */
export interface HostRoute {
  readonly destination: Prefix;
  /** The smallest of a destination counts. */
  readonly metric: number;
  /** Undefined for a route that has several, or none. */
  readonly gateway: string | undefined;
  /** The name of its link; undefined for a route that has several, or none. */
  readonly link: string | undefined;
}

/** What the hub needs of its host beside WireGuard, in the network namespace this process is in. */
export interface HubHost {
  /** Undefined if there is none of that name. @throws Error */
  link(name: string): Promise<HostLink | undefined>;
  setUp(name: string): Promise<void>;
  setAlias(name: string, alias: string): Promise<void>;
  /** The addresses that somebody gave a link: no link-local ones. */
  addresses(name: string): Promise<readonly Prefix[]>;
  addAddress(name: string, address: Prefix): Promise<void>;
  deleteAddress(name: string, address: Prefix): Promise<void>;
  /** The routes of the main table that somebody gave a link: none that the kernel made for its addresses. */
  routes(name: string): Promise<readonly Prefix[]>;
  /** Those by other links than this one, which need not exist; the kernel's own as well. */
  otherRoutes(name: string): Promise<readonly HostRoute[]>;
  /** Never in the place of another one: that is an error, also if it is by this link. */
  addRoute(name: string, destination: Prefix): Promise<void>;
  deleteRoute(name: string, destination: Prefix): Promise<void>;
  /** The names of the links that have a default route. */
  uplinks(): Promise<readonly string[]>;
  /** Puts a table of nftables in the place of what has its name, in one step. */
  replaceTable(table: HubTable): Promise<void>;
  /** A table that is not there is no error. */
  deleteTable(table: Pick<HubTable, 'family' | 'name'>): Promise<void>;
}
