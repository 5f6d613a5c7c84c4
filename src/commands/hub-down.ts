import { resolve } from 'node:path';
import { readHubConfig } from '../hub/files.ts';
import { dockerUserFirewall } from '../hub/firewall.ts';
import { hubOwner } from '../hub/hub.ts';
import { hubTableName } from '../hub/wanted.ts';
import { backends, selectLinks } from '../links/select.ts';
import { createLog } from '../log.ts';
import { oneOf, strictCommand } from './command.ts';
import { hubHost, hubLinkOptions, requireRootFor } from './hub-options.ts';

export default strictCommand({
  meta: {
    name: 'down',
    description:
      'Take the hub’s link and rules away, after `hub serve` was stopped; forwarding stays as it is',
  },
  args: hubLinkOptions,
  maxPositionals: 0,
  async run(args) {
    requireRootFor('down');
    const config = await readHubConfig(resolve(args.config));
    const log = createLog({ level: 'error', format: 'text' });
    const links = await selectLinks(oneOf('backend', backends, args.backend), hubOwner, log);
    await links.delete(config.interface);
    await dockerUserFirewall().bring({ ...config, firewall: 'none' });
    await hubHost().deleteTable(hubTableName(config.interface));
    process.stdout.write(`link ${config.interface} and its rules are gone\n`);
  },
});
