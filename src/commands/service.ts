import { isServed } from '../plugin/socket.ts';
import { installedOf, installUnits, uninstallUnits } from '../service/service.ts';
import { driverUnits } from '../service/units.ts';
import { commandGroup, strictCommand } from './command.ts';
import { ownCommand } from './own-command.ts';
import { pluginOptions, pluginSocketOf } from './plugin-options.ts';

const { name } = pluginOptions;

const install = strictCommand({
  meta: { name: 'install', description: 'Install the driver’s units, or newer ones, and start them' },
  args: { name },
  maxPositionals: 0,
  async run(args) {
    const socket = pluginSocketOf(args);
    requireRoot('install');
    const units = driverUnits(ownCommand(), args.name);
    const installed = (await installedOf([...units.keys()])).get('wgdriver.socket')?.split('\n') ?? [];
    // systemd would take the socket away from whoever has it, and say nothing.
    if (!installed.includes(`ListenStream=${socket}`) && (await isServed(socket))) {
      throw new Error(`socket ${socket}: another process answers on it; stop that one first`);
    }
    await installUnits(units);
    process.stdout.write(
      `The driver ${args.name} serves ${socket}, and starts before the engine at each boot.\n` +
        'Options of serve: WGDRIVER_OPTIONS in /etc/default/wgdriver, then systemctl restart wgdriver.\n',
    );
  },
});

const uninstall = strictCommand({
  meta: { name: 'uninstall', description: 'Stop the driver and remove its units; tunnels stay up' },
  args: { name },
  maxPositionals: 0,
  async run(args) {
    pluginSocketOf(args);
    requireRoot('uninstall');
    const units = [...driverUnits(ownCommand(), args.name).keys()].reverse();
    process.stdout.write(
      (await uninstallUnits(units))
        ? 'The driver is stopped and removed; tunnels and /var/lib/wgdriver are as they were.\n'
        : 'There are no units of `wgdriver service install`. A package’s driver goes with the package.\n',
    );
  },
});

export default commandGroup(
  {
    name: 'service',
    description: 'Have systemd start the driver before the Docker engine, at each boot',
  },
  { install, uninstall },
);

function requireRoot(action: string): void {
  if (process.getuid?.() !== 0) {
    throw new Error(`service ${action} changes systemd’s units and needs root: run it as root`);
  }
}
