import { resolve } from 'node:path';
import { readHubConfig, readPrivateKeyFile } from '../hub/files.ts';
import { hubOwner } from '../hub/hub.ts';
import { obstaclesOf } from '../hub/obstacles.ts';
import { allPeers, readSources } from '../hub/sources.ts';
import { surveyFirewalls } from '../hub/survey.ts';
import { markOf } from '../wireguard/link-alias.ts';
import { strictCommand } from './command.ts';
import { hubHost, hubOptions } from './hub-options.ts';

export default strictCommand({
  meta: {
    name: 'check',
    description: 'Say what is wrong with the hub’s file, and which firewall of this host is in its way',
  },
  args: hubOptions,
  maxPositionals: 0,
  async run(args) {
    const file = resolve(args.config);
    const config = await readHubConfig(file);
    const sources = await readSources(config);
    const key = await readPrivateKeyFile(config.privatekeyfile);
    const count = [...allPeers(sources)].length;
    const lines = [
      `${file}: ${config.networks.length} networks, ${config.clients.length} clients, ${count} peers`,
      ...(key === undefined ? [`${config.privatekeyfile}: will be made by \`wgdriver hub serve\``] : []),
    ];
    const link = await hubHost().link(config.interface);
    if (link !== undefined && markOf(hubOwner).read(link.alias) === undefined) {
      process.exitCode = 1;
      lines.push(
        `link ${config.interface} is somebody else’s: \`wgdriver hub adopt ${config.interface}\` takes it over`,
      );
    }
    const seen = await surveyFirewalls(config.interface);
    const obstacles = obstaclesOf(config, seen);
    // What the hub keeps in place by itself is in nobody's way.
    const left =
      config.firewall === 'docker-user'
        ? obstacles.filter(({ what }) => !what.startsWith('Docker'))
        : obstacles;
    for (const { what, commands, instead } of left) {
      process.exitCode = 1;
      lines.push(`${what}; let it pass:`, ...commands.map((command) => `  ${command}`));
      if (instead !== undefined) {
        lines.push(`  (${instead})`);
      }
    }
    if (left.length === 0) {
      lines.push('no firewall of this host is in the way');
    }
    process.stdout.write(`${lines.join('\n')}\n`);
  },
});
