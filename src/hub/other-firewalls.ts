import * as v from 'valibot';
import { decode } from '../decode.ts';
import { run } from '../programs/run.ts';
import type { SeenChain, SeenFirewalls } from './obstacles.ts';

const listing = v.object({
  nftables: v.array(
    v.object({
      chain: v.optional(
        v.object({
          family: v.string(),
          table: v.string(),
          name: v.string(),
          hook: v.optional(v.string()),
          policy: v.optional(v.string()),
        }),
      ),
    }),
  ),
});

/** Looks at the firewalls of this host, by their own programs; one whose program is missing is not there. */
export async function readFirewalls(link: string): Promise<SeenFirewalls> {
  const output = async (file: string, ...args: string[]) => {
    const outcome = await run(file, args);
    return outcome.ok ? outcome.stdout : undefined;
  };
  const [ipv4, ipv6, chains, state] = await Promise.all([
    output('iptables', '--wait', '-S'),
    output('ip6tables', '--wait', '-S'),
    output('nft', '--json', 'list', 'chains'),
    output('firewall-cmd', '--state'),
  ]);
  const zone = await output('firewall-cmd', `--get-zone-of-interface=${link}`);
  return {
    iptables: { ipv4, ipv6 },
    chains: chains === undefined ? [] : baseChains(chains),
    firewalldZone: state?.trim() === 'running' ? (zone?.trim() ?? 'none') : undefined,
  };
}

function baseChains(json: string): SeenChain[] {
  return decode(listing, JSON.parse(json), 'nft list chains').nftables.flatMap(({ chain }) =>
    chain?.hook === undefined ? [] : [{ ...chain, hook: chain.hook, policy: chain.policy ?? 'accept' }],
  );
}
