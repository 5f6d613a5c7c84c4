import { parseAddress } from './address.ts';

/** Where a peer is, as people write it: a host name or address, and a UDP port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Parses `vpn.example.org:51820`, `192.0.2.1:51820` or `[2001:db8::1]:51820`; undefined if it is none of them. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[(?<bracketed>[^\]]+)\]|(?<plain>[^:[\]]+)):(?<port>\d{1,5})$/.exec(text);
  const { bracketed, plain, port } = match?.groups ?? {};
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) < 1 || Number(port) > 65535) {
    return undefined;
  }
  const kind = parseAddress(host)?.kind();
  const fits = bracketed === undefined ? kind === 'ipv4' || isHostName(host) : kind === 'ipv6';
  return fits ? { host, port: Number(port) } : undefined;
}

/** The text that parseHostPort reads. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** RFC 1123 section 2.1; a last label of digits alone would be a mistyped address. */
function isHostName(text: string): boolean {
  const label = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;
  const labels = text.replace(/\.$/, '').split('.');
  return text.length <= 253 && labels.every((part) => label.test(part)) && !/^\d+$/.test(labels.at(-1) ?? '');
}
