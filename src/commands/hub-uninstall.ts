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
        ? 'The hub’s unit is removed; `wgdriver hub down` deletes its link and rules.\n'
        : 'There is no unit of `wgdriver hub install`. A package’s hub ends by `systemctl disable --now wgdriver-hub`.\n',
    );
  },
});
