import { Buffer } from 'node:buffer';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Engine } from '../engine/client.ts';
import { findManagedPlugin, pluginFolder, socketOfManaged } from '../engine/managed-plugin.ts';
import { usualOwner } from '../wireguard/link-alias.ts';
import { UsageError } from './command.ts';

/** The longest path of a unix socket: sun_path without its end (unix(7)). */
const maxSocketBytes = 107;

/** The options of the commands that serve the driver or look for it. */
export const pluginOptions = {
  name: {
    type: 'string',
    default: usualOwner,
    valueHint: 'NAME',
    description: 'The driver’s name, as in `docker network create -d NAME`',
  },
  socket: {
    type: 'string',
    valueHint: 'PATH',
    description: `The driver’s unix socket (Default: ${pluginFolder}/NAME.sock)`,
  },
} as const;

interface PluginArguments {
  readonly name: string;
  readonly socket?: string | undefined;
}

/**
 * The path of the socket of a driver that runs: where the engine looks for it, else that of a managed plugin of its name.
 * @throws UsageError
 */
export async function runningPluginSocketOf(
  args: PluginArguments,
  engine: Pick<Engine, 'plugins'>,
): Promise<string> {
  const path = pluginSocketOf(args);
  if (args.socket !== undefined || existsSync(path)) {
    return path;
  }
  const managed = await findManagedPlugin(engine, args.name);
  return managed?.isEnabled === true ? socketOfManaged(managed) : path;
}

/** The path of the driver's socket. @throws UsageError */
export function pluginSocketOf({ name, socket }: PluginArguments): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)) {
    throw new UsageError('option --name: expected at most 64 letters, digits, dots, dashes and underscores');
  }
  const path = resolve(socket ?? join(pluginFolder, `${name}.sock`));
  refuseLongPath('socket', path);
  return path;
}

/** @throws UsageError if no unix socket can have a path */
export function refuseLongPath(option: string, path: string): void {
  const length = Buffer.byteLength(path);
  if (length > maxSocketBytes) {
    throw new UsageError(
      `option --${option}: expected a path of at most ${maxSocketBytes} bytes, got ${length}; choose a shorter one`,
    );
  }
}
