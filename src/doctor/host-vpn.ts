import * as v from 'valibot';
import type { Place } from '../links/links.ts';
import { askIp } from '../programs/ip.ts';
import type { Address } from '../wireguard/address.ts';
import type { LinkStatus } from '../wireguard/status.ts';

/** A tunnel of this host itself that packets to a hub leave by. */
export interface HostVpn {
  readonly link: string;
  /** What it marks its own packets with, so that they do not go into it; 0 if it has no mark or cannot be read. */
  readonly fwmark: number;
}

const shown = v.array(
  v.object({
    dev: v.optional(v.string()),
    linkinfo: v.optional(v.object({ info_kind: v.optional(v.string()) })),
  }),
);

/**
 * The tunnel that packets with a mark leave this host by; undefined if they leave by something else, or not at all.
 * @throws Error if this host cannot be asked
 */
export async function findHostVpn(
  address: Address,
  mark: number,
  read: (place: Place) => Promise<LinkStatus | undefined>,
): Promise<HostVpn | undefined> {
  const marked = mark === 0 ? [] : ['mark', String(mark)];
  const [route] = await ask('route', 'get', address.toString(), ...marked);
  const name = route?.dev;
  if (name === undefined) {
    return undefined;
  }
  const [link] = await ask('-details', 'link', 'show', 'dev', name);
  if (!['wireguard', 'tun'].includes(link?.linkinfo?.info_kind ?? '')) {
    return undefined;
  }
  const status = await read({ name }).catch(() => undefined);
  return { link: name, fwmark: status?.fwmark ?? 0 };
}

function ask(...args: readonly string[]) {
  return askIp(shown, args, 'look for a VPN of this host');
}
