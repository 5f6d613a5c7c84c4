import { uninstallUnits } from '../service/service.ts';
import { hubUnit } from '../service/units.ts';
import { strictCommand } from './command.ts';
import { requireRootFor } from './hub-options.ts';

export default strictCommand({
  meta: { name: 'uninstall', description: 'Stop the hub and remove its unit; the tunnels stay up' },
  args: {},
  maxPositionals: 0,
  async run() {
    requireRootFor('uninstall');
    process.stdout.write(
      (await uninstallUnits([hubUnit]))
        ? 'The hub’s unit is removed. `wgdriver hub down` deletes its link and rules.\n'
        : 'There is no unit made by `wgdriver hub install`. If a package installed the hub, stop it with ' +
            '`systemctl disable --now wgdriver-hub`.\n',
    );
  },
});
