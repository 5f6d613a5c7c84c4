import { networkInterfaces } from 'node:os';
import { type Address, parseAddress } from '../wireguard/address.ts';

/** The addresses that this host has outside of tunnels and containers, or those of one of its links. */
export function hostAddresses(link?: string): Address[] {
  const all = networkInterfaces();
  const wanted = link === undefined ? Object.values(all) : [all[link]];
  return wanted.flatMap((addresses = []) => addresses.flatMap(({ address }) => parseAddress(address) ?? []));
}
