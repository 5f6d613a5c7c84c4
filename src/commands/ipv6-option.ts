import { ipv6PrefixExpectation, parseIpv6Prefix } from '../networks/ipv6.ts';
import { optionPrefix } from '../networks/options.ts';
import type { Prefix } from '../wireguard/address.ts';
import { UsageError } from './command.ts';

/** The option of the commands that write the addresses of a network's peers. */
export const ipv6Option = {
  ipv6: {
    type: 'string',
    valueHint: 'PREFIX',
    description: `The network’s option ${optionPrefix}ipv6, from which each peer gets its IPv6 address`,
  },
} as const;

/** The prefix, or undefined if there is none. @throws UsageError */
export function ipv6Argument({ ipv6 }: { readonly ipv6?: string | undefined }): Prefix | undefined {
  const prefix = ipv6 === undefined ? undefined : parseIpv6Prefix(ipv6);
  if (ipv6 !== undefined && prefix === undefined) {
    throw new UsageError(`option --ipv6: ${ipv6PrefixExpectation}`);
  }
  return prefix;
}
