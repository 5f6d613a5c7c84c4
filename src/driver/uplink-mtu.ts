import type { UplinkTo } from '../links/uplink.ts';
import type { Mtu } from '../networks/options.ts';
import { type Address, prefixOf } from '../wireguard/address.ts';
import { mtuOver } from '../wireguard/mtu.ts';

/** What counts of a tunnel: where its packets go, and their mark. */
export interface Outer {
  readonly fwmark?: number;
  readonly peers: readonly { readonly endpoint?: { readonly address: Address } | undefined }[];
}

/** An MTU until the way to the hub is known: that of a way of 1500 bytes. */
export const defaultMtu = 1420;

/**
 * Addresses that nothing but a default route leads to: relays of 6to4, which RFC 7526 has taken out of use, and the first of
 * IPv6’s global unicast addresses, which nobody has been given.
 */
const anywhere = ['192.88.99.1/32', '2000::/128'].map((text) => prefixOf(text).address);

/** Looks each way up once, as for a look at all links. */
export function rememberUplinks(uplinkTo: UplinkTo): UplinkTo {
  const uplinks = new Map<string, ReturnType<UplinkTo>>();
  return (address, mark) => {
    const key = `${address.toString()} ${mark}`;
    const uplink = uplinks.get(key) ?? uplinkTo(address, mark);
    uplinks.set(key, uplink);
    return uplink;
  };
}

/**
 * Makes a function that computes the MTU of tunnels with `mtu=auto`: what the way to each peer carries, of a peer whose
 * address is not known the default route; undefined if there is no way at all. Each way is looked up once.
 */
export function createAutoMtu(uplinkTo: UplinkTo): (outer: Outer) => Promise<number | undefined> {
  const uplinkOf = rememberUplinks(uplinkTo);

  async function defaultUplink(mark: number) {
    for (const address of anywhere) {
      const uplink = await uplinkOf(address, mark);
      if (uplink !== undefined) {
        return uplink;
      }
    }
    return undefined;
  }

  return async ({ fwmark = 0, peers }) => {
    const uplinks = await Promise.all(
      peers.map(({ endpoint }) =>
        endpoint === undefined ? defaultUplink(fwmark) : uplinkOf(endpoint.address, fwmark),
      ),
    );
    return mtuOver(uplinks.filter((uplink) => uplink !== undefined));
  };
}

/** The MTU of a tunnel’s link that is about to be made. */
export async function mtuInBytes(uplinkTo: UplinkTo, mtu: Mtu, outer: Outer): Promise<number> {
  return mtu === 'auto' ? ((await createAutoMtu(uplinkTo)(outer)) ?? defaultMtu) : mtu;
}
