import * as v from 'valibot';
import { decode } from '../decode.ts';
import { run } from '../programs/run.ts';
import { firewalldPolicy, type SeenChain, type SeenFirewalld, type SeenFirewalls } from './obstacles.ts';

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

/**
 * Looks at the firewalls of this host, by their own programs; one whose program is missing is not there.
 * @param uplinks the links that have a default route
 */
export async function readFirewalls(link: string, uplinks: readonly string[]): Promise<SeenFirewalls> {
  const [ipv4, ipv6, chains, state, unitState] = await Promise.all([
    output('iptables', '--wait', '-S'),
    output('ip6tables', '--wait', '-S'),
    output('nft', '--json', 'list', 'chains'),
    output('firewall-cmd', '--state'),
    output('systemctl', 'show', '--property=ActiveState', '--value', 'firewalld'),
  ]);
  // Whoever asks for its state before it answers hears that it does not run.
  const isStarting = ['activating', 'active', 'reloading'].includes(unitState?.trim() ?? '');
  return {
    iptables: { ipv4, ipv6 },
    chains: chains === undefined ? [] : baseChains(chains),
    firewalld:
      state?.trim() === 'running' ? await readFirewalld(link, uplinks) : isStarting ? 'starting' : undefined,
  };
}

async function readFirewalld(link: string, uplinks: readonly string[]): Promise<SeenFirewalld> {
  const ask = async (...args: string[]) => (await output('firewall-cmd', ...args))?.trim();
  const ofDefault = (await ask('--get-default-zone')) ?? 'public';
  const zoneOf = async (name: string) => (await ask(`--get-zone-of-interface=${name}`)) ?? ofDefault;
  const names = new Set(uplinks.length === 0 ? [ofDefault] : await Promise.all(uplinks.map(zoneOf)));
  return {
    linkZone: await ask(`--get-zone-of-interface=${link}`),
    zones: await Promise.all(
      [...names].map(async (name) => ({
        name,
        ports: (await ask(`--zone=${name}`, '--list-ports')) ?? '',
        services: (await ask(`--zone=${name}`, '--list-services')) ?? '',
      })),
    ),
    policyRules: await ask(`--policy=${firewalldPolicy}`, '--list-rich-rules'),
  };
}

async function output(file: string, ...args: string[]): Promise<string | undefined> {
  const outcome = await run(file, args);
  return outcome.ok ? outcome.stdout : undefined;
}

function baseChains(json: string): SeenChain[] {
  return decode(listing, JSON.parse(json), 'nft list chains').nftables.flatMap(({ chain }) =>
    chain?.hook === undefined ? [] : [{ ...chain, hook: chain.hook, policy: chain.policy ?? 'accept' }],
  );
}
