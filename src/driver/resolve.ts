import type { Fields, Log } from '../log.ts';
import { resolved, type Tunnel } from '../networks/tunnel.ts';
import type { Device } from '../wireguard/device.ts';
import type { HubNames } from './hub-names.ts';

/** Makes a tunnel a device, with the addresses that its peers’ names have now. `fields` tell whose it is in the log. */
export type Resolve = (fields: Fields, tunnel: Tunnel) => Promise<Device>;

/** A peer whose host does not resolve gets no endpoint: its link is closed until it does (hub-moves.ts). */
export function createResolve(hubNames: Pick<HubNames, 'addressOf'>, log: Log): Resolve {
  return async (fields, tunnel) => {
    const hosts = new Set(tunnel.peers.flatMap(({ endpoint: peer }) => peer?.host ?? []));
    const addresses = new Map(
      await Promise.all([...hosts].map(async (host) => [host, await hubNames.addressOf(host)] as const)),
    );
    for (const [host, address] of addresses) {
      if (address === undefined) {
        log.warn('the hub’s name does not resolve: no traffic passes until it resolves', { ...fields, host });
      }
    }
    return resolved(tunnel, addresses);
  };
}
