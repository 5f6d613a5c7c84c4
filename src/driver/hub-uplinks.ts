import type { UplinksTo } from '../links/uplink.ts';
import type { Mtu } from '../networks/options.ts';
import { type Address, prefixOf } from '../wireguard/address.ts';
import { mtuOver, type Uplink } from '../wireguard/mtu.ts';

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
export function rememberUplinks(uplinksTo: UplinksTo): UplinksTo {
  const known = new Map<string, Promise<Uplink | undefined>>();
  return (addresses, mark) => {
    const keys = addresses.map((address) => `${address.toString()} ${mark}`);
    const fresh = new Map<string, Address>();
    for (const [index, address] of addresses.entries()) {
      const key = keys[index] ?? '';
      if (!known.has(key)) {
        fresh.set(key, address);
      }
    }
    if (fresh.size > 0) {
      const asked = uplinksTo([...fresh.values()], mark);
      for (const [index, key] of [...fresh.keys()].entries()) {
        known.set(
          key,
          asked.then((uplinks) => uplinks[index]),
        );
      }
    }
    return Promise.all(keys.map((key) => known.get(key)));
  };
}

/**
 * Makes a function that computes the MTU of tunnels with `mtu=auto`: what the way to each peer carries, of a peer whose
 * address is not known the default route; undefined if there is no way at all. Each way is looked up once.
 */
export function createAutoMtu(uplinksTo: UplinksTo): (outer: Outer) => Promise<number | undefined> {
  const uplinksOf = rememberUplinks(uplinksTo);

  async function defaultUplink(mark: number) {
    for (const address of anywhere) {
      const [uplink] = await uplinksOf([address], mark);
      if (uplink !== undefined) {
        return uplink;
      }
    }
    return undefined;
  }

  return async ({ fwmark = 0, peers }) => {
    const known = peers.flatMap(({ endpoint }) => endpoint?.address ?? []);
    const uplinks = await Promise.all([
      uplinksOf(known, fwmark),
      ...(known.length < peers.length ? [defaultUplink(fwmark)] : []),
    ]);
    return mtuOver(uplinks.flat().filter((uplink) => uplink !== undefined));
  };
}

/** The MTU of a tunnel’s link that is about to be made. */
export async function mtuInBytes(uplinksTo: UplinksTo, mtu: Mtu, outer: Outer): Promise<number> {
  return mtu === 'auto' ? ((await createAutoMtu(uplinksTo)(outer)) ?? defaultMtu) : mtu;
}
