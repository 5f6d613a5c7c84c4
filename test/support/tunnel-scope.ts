import type { TunnelScope } from '../../src/killswitch/rules.ts';
import { closedFamilies } from '../../src/networks/scope.ts';
import { prefixOf } from '../../src/wireguard/address.ts';

/** The scope of a tunnel with such allowed IPs, less what is excluded. */
export function tunnelScope(prefixes: readonly string[], excluded: readonly string[] = []): TunnelScope {
  const asked = prefixes.map(prefixOf);
  return { prefixes: asked, excluded: excluded.map(prefixOf), closed: closedFamilies(asked) };
}

export const everything = ['0.0.0.0/0', '::/0'] as const;
