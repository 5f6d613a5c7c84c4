import { existsSync } from 'node:fs';
import { readHubConfig } from '../hub/files.ts';
import { installUnits } from '../service/service.ts';
import { hubUnit, hubUnits } from '../service/units.ts';
import { strictCommand } from './command.ts';
import { hubFileOf, hubOptions, requireRootFor } from './hub-options.ts';
import { ownCommand } from './own-command.ts';

export default strictCommand({
  meta: { name: 'install', description: 'Have systemd run the hub, now and at each boot' },
  args: hubOptions,
  maxPositionals: 0,
  async run(args) {
    requireRootFor('install');
    const file = hubFileOf(args);
    if (!existsSync(file)) {
      throw new Error(`${file} does not exist: write it first, then check it with \`wgdriver hub check\``);
    }
    const { privatekeyfile } = await readHubConfig(file);
    await installUnits(hubUnits(ownCommand(), file, privatekeyfile));
    process.stdout.write(
      `${hubUnit} now runs the hub of ${file}.\n` +
        'It loads changes to the file within seconds; `wgdriver hub status` shows the peers.\n',
    );
  },
});
