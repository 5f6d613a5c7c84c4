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

/** What is wrong with a text that parseHostPort does not take. */
export function hostPortFault(text: string): string {
  if (text === '') {
    return 'it is empty';
  }
  if (/\s/.test(text)) {
    return text.includes('\r') ? 'it contains a carriage return' : 'it contains white space';
  }
  if (text.includes('://')) {
    return 'it is a URL: leave out everything but host and port';
  }
  const isBracketed = text.startsWith('[');
  if (!isBracketed && text.split(':').length > 2) {
    return 'an IPv6 address needs brackets, with the port after them';
  }
  const { host, rest = '' } =
    /^(?:\[(?<inside>[^\]]*)\]|(?<host>[^:]*))(?<rest>.*)$/.exec(text)?.groups ?? {};
  const name = isBracketed ? text.slice(1, text.indexOf(']')) : (host ?? '');
  if (isBracketed && !text.includes(']')) {
    return 'the closing bracket is missing';
  }
  if (name === '') {
    return 'the host is missing';
  }
  if (name.includes('%')) {
    return 'an address with a zone id (%) cannot be used for a hub';
  }
  if (!/^:./.test(rest)) {
    return rest === '' || rest === ':' ? 'the port is missing' : 'expected a colon after the bracket';
  }
  if (!/^:\d+$/.test(rest)) {
    return 'the port is not a number';
  }
  if (!(Number(rest.slice(1)) >= 1 && Number(rest.slice(1)) <= 65535) || rest.length > 6) {
    return 'the port is not from 1 to 65535';
  }
  return isBracketed
    ? 'what is in the brackets is not an IPv6 address'
    : 'the host is neither an IPv4 address nor a host name';
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
