import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { readHubConfig } from '../hub/files.ts';
import { installUnits } from '../service/service.ts';
import { hubUnit, hubUnits } from '../service/units.ts';
import { strictCommand } from './command.ts';
import { hubOptions, requireRootFor } from './hub-options.ts';
import { ownCommand } from './own-command.ts';

export default strictCommand({
  meta: { name: 'install', description: 'Have systemd run the hub, now and at each boot' },
  args: hubOptions,
  maxPositionals: 0,
  async run(args) {
    requireRootFor('install');
    const file = resolve(args.config);
    if (!existsSync(file)) {
      throw new Error(
        `${file} does not exist: write it first; \`wgdriver hub check\` tells you whether it is right`,
      );
    }
    await readHubConfig(file);
    await installUnits(hubUnits(ownCommand(), file));
    process.stdout.write(
      `${hubUnit} now runs the hub of ${file}.\n` +
        'It loads changes of the file within seconds; `wgdriver hub status` shows the peers.\n',
    );
  },
});
