import type { HubConfig } from '../hub/config.ts';
import { findPrivateKey, missingKey, readHubConfig } from '../hub/files.ts';
import { hubOwner } from '../hub/hub.ts';
import { obstaclesOf } from '../hub/obstacles.ts';
import { readFirewalls } from '../hub/other-firewalls.ts';
import { allPeers, readSources, refuseSharedKeys } from '../hub/sources.ts';
import { takenRoutes } from '../hub/taken-routes.ts';
import { publicKeyOf } from '../wireguard/key.ts';
import { markOf } from '../wireguard/link-alias.ts';
import { strictCommand } from './command.ts';
import { hubFileOf, hubHost, hubOptions } from './hub-options.ts';

export default strictCommand({
  meta: {
    name: 'check',
    description: 'Check the hub’s file, and whether this host’s firewall blocks its traffic',
  },
  args: hubOptions,
  maxPositionals: 0,
  async run(args) {
    const file = hubFileOf(args);
    const config = await readHubConfig(file);
    const sources = await readSources(config);
    const key = await findPrivateKey(config.privatekeyfile);
    refuseSharedKeys(config, sources, key && publicKeyOf(key));
    const count = [...allPeers(sources)].length;
    const lines = [
      `${file}: networks: ${config.networks.length}, clients: ${config.clients.length}, peers: ${count}`,
    ];
    const link = await hubHost().link(config.interface);
    if (key === undefined && link === undefined) {
      lines.push(`${config.privatekeyfile}: will be made by \`wgdriver hub serve\``);
    } else if (key === undefined) {
      process.exitCode = 1;
      lines.push(missingKey(config.privatekeyfile, config.interface));
    }
    if (link !== undefined && markOf(hubOwner).read(link.alias) === undefined) {
      process.exitCode = 1;
      lines.push(
        link.kind === 'wireguard' || link.kind === 'tun'
          ? `link ${config.interface} was not made by this hub: \`wgdriver hub adopt ${config.interface}\` takes it over`
          : `link ${config.interface} is not a WireGuard link: give the hub another name under \`interface\``,
      );
    }
    for (const taken of (await takenRoutes(hubHost(), config)).values()) {
      process.exitCode = 1;
      lines.push(taken);
    }
    for (const uplink of config.uplinks ?? []) {
      if ((await hubHost().link(uplink)) === undefined) {
        process.exitCode = 1;
        lines.push(`uplink ${uplink} is not there: nothing leaves by it until it is`);
      }
    }
    const firewalls = process.getuid?.() === 0 ? await firewallLines(config) : undefined;
    if (firewalls === undefined) {
      process.exitCode = 1;
      lines.push(
        'This host’s firewalls were not checked, because only root can read them: run this as root.',
      );
    } else if (firewalls.length > 0) {
      process.exitCode = 1;
      lines.push(...firewalls);
    } else {
      lines.push('no firewall on this host blocks it');
    }
    process.stdout.write(`${lines.join('\n')}\n`);
  },
});

/** What stands in the way, and the commands that change it; none if nothing does. */
async function firewallLines(config: HubConfig): Promise<string[]> {
  const firewalls = await readFirewalls(config.interface, await hubHost().uplinks());
  return [
    ...(firewalls.firewalld === 'starting'
      ? ['firewalld is starting, so nobody can tell yet what it blocks: run `wgdriver hub check` again']
      : []),
    ...obstaclesOf(config, firewalls)
      // What the hub keeps in place by itself is in nobody's way.
      .filter(({ what }) => config.firewall !== 'docker-user' || !what.startsWith('Docker'))
      .flatMap(({ what, commands, instead }) => [
        `${what}; to let it through:`,
        ...commands.map((command) => `  ${command}`),
        ...(instead === undefined ? [] : [`  (${instead})`]),
      ]),
  ];
}
