import { dockerUserFirewall } from '../hub/docker-user.ts';
import { readHubConfig } from '../hub/files.ts';
import { hubTableName } from '../hub/rules.ts';
import { lockState } from '../state/lock.ts';
import { strictCommand } from './command.ts';
import {
  hubFileOf,
  hubHost,
  hubLinkOptions,
  hubLinksOf,
  hubStateFolder,
  requireRootFor,
} from './hub-options.ts';

export default strictCommand({
  meta: {
    name: 'down',
    description:
      'Delete the hub’s link, rules and nftables table once `hub serve` is stopped; forwarding stays on',
  },
  args: hubLinkOptions,
  maxPositionals: 0,
  async run(args) {
    requireRootFor('down');
    const config = await readHubConfig(hubFileOf(args));
    const links = await hubLinksOf(args);
    // What serves this link would make it again.
    const unlock = await lockState(hubStateFolder(args, config));
    try {
      await links.delete(config.interface);
      await dockerUserFirewall().bring({ ...config, firewall: 'none' });
      await hubHost().deleteTable(hubTableName(config.interface));
    } finally {
      await unlock();
    }
    process.stdout.write(`Link ${config.interface} and its rules are deleted.\n`);
  },
});
