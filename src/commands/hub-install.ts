import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { readHubConfig } from '../hub/files.ts';
import { installService } from '../service/service.ts';
import { hubUnit, hubUnitText } from '../service/units.ts';
import { strictCommand } from './command.ts';
import { hubOptions, requireRootFor } from './hub-options.ts';
import { ownCommand } from './own-command.ts';

export default strictCommand({
  meta: { name: 'install', description: 'Have systemd keep the hub, from now on and at each boot' },
  args: hubOptions,
  maxPositionals: 0,
  async run(args) {
    requireRootFor('install');
    const file = resolve(args.config);
    if (!existsSync(file)) {
      throw new Error(
        `${file} is not there: write it first, \`wgdriver hub check\` says whether it is right`,
      );
    }
    await readHubConfig(file);
    await installService(hubUnit, hubUnitText(ownCommand(), file));
    process.stdout.write(
      `The hub of ${file} is kept by ${hubUnit}.\n` +
        'A change of the file is loaded at once; `wgdriver hub status` shows the peers.\n',
    );
  },
});
