import { realpathSync } from 'node:fs';
import { isServed } from '../plugin/socket.ts';
import { installedOf, installUnits, uninstallUnits } from '../service/service.ts';
import { unitFiles } from '../service/units.ts';
import { strictCommand, UsageError } from './command.ts';
import { pluginOptions, pluginSocketOf } from './plugin-options.ts';

export default strictCommand({
  meta: {
    name: 'service',
    description: 'Have systemd start the driver before the Docker engine, at each boot',
  },
  args: {
    action: { type: 'positional', valueHint: 'install|uninstall', description: 'What to do' },
    name: pluginOptions.name,
  },
  maxPositionals: 1,
  async run({ name }, [action]) {
    if (action !== 'install' && action !== 'uninstall') {
      throw new UsageError(`expected install or uninstall, got ${action ?? 'nothing'}`);
    }
    const socket = pluginSocketOf({ name });
    if (process.getuid?.() !== 0) {
      throw new Error(`service ${action} changes systemd’s units and needs root: run it as root`);
    }
    const units = unitFiles(ownCommand(), name);
    const names = [...units.keys()];
    if (action === 'install') {
      const installed = (await installedOf(names)).get('wgdriver.socket')?.split('\n') ?? [];
      // systemd would take the socket away from whoever has it, and say nothing.
      if (!installed.includes(`ListenStream=${socket}`) && (await isServed(socket))) {
        throw new Error(`socket ${socket}: another process answers on it; stop that one first`);
      }
      await installUnits(units);
      process.stdout.write(
        `The driver ${name} serves ${socket}, and starts before the engine at each boot.\n` +
          'Options of serve: WGDRIVER_OPTIONS in /etc/default/wgdriver, then systemctl restart wgdriver.\n',
      );
    } else {
      await uninstallUnits(names.reverse());
      process.stdout.write(
        'The driver is stopped and removed; tunnels and /var/lib/wgdriver are as they were.\n',
      );
    }
  },
});

/** What starts this program, for others to do the same. */
function ownCommand(): string[] {
  if ('Deno' in globalThis) {
    throw new Error('on Deno, service cannot know its permissions: install with Node or the executable');
  }
  const [node = '', script = ''] = process.argv;
  // In a single executable the second word is what the executable was called by, not a path.
  const words = process.getBuiltinModule('node:sea').isSea() ? [node] : [node, script];
  return words.map((path) => realpathSync(path));
}
