import { isServed } from '../plugin/socket.ts';
import { installedOf, installUnits, uninstallUnits } from '../service/service.ts';
import { driverUnits } from '../service/units.ts';
import { commandGroup, strictCommand } from './command.ts';
import { ownCommand } from './own-command.ts';
import { pluginOptions, pluginSocketOf } from './plugin-options.ts';

const { name } = pluginOptions;

const install = strictCommand({
  meta: { name: 'install', description: 'Install or update the driver’s units, and start them' },
  args: { name },
  maxPositionals: 0,
  async run(args) {
    const socket = pluginSocketOf(args);
    requireRoot('install');
    const units = driverUnits(ownCommand(), args.name);
    const installed = (await installedOf([...units.keys()])).get('wgdriver.socket')?.split('\n') ?? [];
    // systemd would take the socket away from whoever has it, and say nothing.
    if (!installed.includes(`ListenStream=${socket}`) && (await isServed(socket))) {
      throw new Error(`socket ${socket}: another process answers on it: stop that process first`);
    }
    await installUnits(units);
    process.stdout.write(
      `The driver ${args.name} serves ${socket}, and starts before Docker at each boot.\n` +
        'To give serve options, set WGDRIVER_OPTIONS in /etc/default/wgdriver and run systemctl restart wgdriver.\n',
    );
  },
});

const uninstall = strictCommand({
  meta: { name: 'uninstall', description: 'Stop the driver and remove its units; the tunnels stay up' },
  args: {
    name: {
      type: 'string',
      valueHint: 'NAME',
      description: 'The name that the driver was installed with (Default: whatever it is)',
    },
  },
  maxPositionals: 0,
  async run(args) {
    const asked = args.name ?? name.default;
    pluginSocketOf({ name: asked });
    requireRoot('uninstall');
    const units = [...driverUnits(ownCommand(), asked).keys()].reverse();
    const socket = (await installedOf(units)).get('wgdriver.socket') ?? '';
    const installed = /^ListenStream=.*\/(.+)\.sock$/m.exec(socket)?.[1] ?? asked;
    if (args.name !== undefined && installed !== args.name) {
      throw new Error(
        `the installed driver is ${installed}, not ${args.name}: to remove it, run ` +
          `\`wgdriver service uninstall --name ${installed}\``,
      );
    }
    process.stdout.write(
      (await uninstallUnits(units))
        ? 'The driver is stopped and its units are removed. The tunnels stay up, and /var/lib/wgdriver is unchanged.\n'
        : 'There are no units made by `wgdriver service install`. If a package installed the driver, remove the ' +
            'package.\n',
    );
  },
});

export default commandGroup(
  {
    name: 'service',
    description: 'Have systemd start the driver before Docker at each boot',
  },
  { install, uninstall },
);

function requireRoot(action: string): void {
  if (process.getuid?.() !== 0) {
    throw new Error(`service ${action} changes systemd’s units and needs root: run it as root`);
  }
}
