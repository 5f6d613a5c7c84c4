import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { unitMark } from './units.ts';

const run = promisify(execFile);

/** Where units of this host's administrator are (systemd.unit(5)). */
const unitFolder = '/etc/systemd/system';

/**
 * Puts unit files in place, or new ones in the place of older ones, and starts them, now and at each boot.
 * A service that runs already is restarted with what is new.
 * @throws Error with what was wrong; then nothing of somebody else's has been changed
 */
export async function installUnits(units: ReadonlyMap<string, string>): Promise<void> {
  const names = [...units.keys()];
  await installedOf(names);
  for (const [name, text] of units) {
    await writeFile(join(unitFolder, name), text, { mode: 0o644 });
  }
  await systemctl('daemon-reload');
  await systemctl('enable', '--quiet', ...names);
  await systemctl('restart', ...names);
}

/** Stops and removes units. What is not there counts as removed. @throws Error as above */
export async function uninstallUnits(names: readonly string[]): Promise<void> {
  const installed = await installedOf(names);
  if (installed.length > 0) {
    await systemctl('disable', '--quiet', '--now', ...installed);
    await Promise.all(installed.map((name) => rm(join(unitFolder, name))));
    await systemctl('daemon-reload');
  }
}

/** Those of the units that are in place. @throws Error if one of somebody else's is, or if there is no systemd */
export async function installedOf(names: readonly string[]): Promise<string[]> {
  // sd_booted(3)
  if (!existsSync('/run/systemd/system')) {
    throw new Error(
      'systemd does not run on this host: start `wgdriver serve` before the engine by other means',
    );
  }
  const installed = await Promise.all(names.map(isInstalled));
  return names.filter((_, index) => installed[index]);
}

/** Whether a unit file of ours is there. @throws Error if one of somebody else's is */
async function isInstalled(name: string): Promise<boolean> {
  const path = join(unitFolder, name);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
    return undefined;
  });
  if (text?.startsWith(unitMark) === false) {
    throw new Error(`${path} is not of wgdriver’s making: move it away first`);
  }
  return text !== undefined;
}

async function systemctl(...args: readonly string[]): Promise<void> {
  try {
    await run('systemctl', args);
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new Error(`systemctl ${args.join(' ')}: ${stderr.trim()}`, { cause: error });
  }
}
