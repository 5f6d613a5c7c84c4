import { readEndpointId } from '../wireguard/link-alias.ts';
import type { ContainerLink } from './rules.ts';

/**
 * What WireGuard gives the UDP socket of a link (drivers/net/wireguard/socket.c, set_sock_opts). No process can:
 * SO_SNDBUFFORCE ends one short of it. The kernel says nowhere in which namespace a link was made, but its socket is there.
 */
export const sendBufferOfWireGuard = 0x7fff_ffff;

/** A link that may be a tunnel of the container's own, and its UDP port. */
export interface Candidate {
  readonly index: number;
  readonly listenPort: number;
}

/** Links of the kernel's WireGuard that are up and no driver's. */
export function candidatesOf(links: readonly ContainerLink[]): ContainerLink[] {
  return links.filter(
    ({ kind, isUp, alias }) => kind === 'wireguard' && isUp && readEndpointId(alias) === undefined,
  );
}

/** Links that look like a tunnel of the container's own, of which the kernel does not say where its packets leave. */
export function refusedTunnels(links: readonly ContainerLink[]): ContainerLink[] {
  return links.filter(
    ({ kind, isUp, alias, isInner }) =>
      (kind === 'wireguard' || kind === 'tun') && isUp && !isInner && readEndpointId(alias) === undefined,
  );
}

/**
 * Marks the links that were made in their namespace: a socket of WireGuard's has their port there. Of two links with one
 * port one was made elsewhere, so neither counts.
 */
export function withInner(
  links: readonly ContainerLink[],
  candidates: readonly Candidate[],
  portsOfWireGuard: ReadonlySet<number>,
): ContainerLink[] {
  const inner = candidates.filter(
    ({ index, listenPort }) =>
      portsOfWireGuard.has(listenPort) &&
      candidates.every((other) => other.index === index || other.listenPort !== listenPort),
  );
  return links.map((link) =>
    inner.some(({ index }) => index === link.index) ? { ...link, isInner: true } : link,
  );
}
