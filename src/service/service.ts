import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../programs/run.ts';
import { enabledUnits, unitMark } from './units.ts';

/** Where units of this host's administrator are (systemd.unit(5)). */
const unitFolder = '/etc/systemd/system';
/** systemctl waits for units; systemd gives up on one after 90 s by itself (DefaultTimeoutStartSec=). */
const unitTimeoutMs = 200_000;

/**
 * Puts unit files in place, or new ones in the place of older ones, and starts them, now and at each boot.
 * A service that runs already is restarted with what is new; calls wait meanwhile in the socket, which stays as it is
 * unless its unit has changed.
 * @throws Error with what was wrong; then nothing of somebody else's has been changed
 */
export async function installUnits(units: ReadonlyMap<string, string>): Promise<void> {
  const installed = await installedOf([...units.keys()]);
  if ([...installed].some(([name, text]) => name.endsWith('.socket') && text !== units.get(name))) {
    // Once it has read the new units, systemd knows the old socket's file no more, and would leave it.
    await systemctl('stop', ...startable(installed));
  }
  for (const [name, text] of units) {
    await writeFile(join(unitFolder, name), text, { mode: 0o644 });
  }
  await systemctl('daemon-reload');
  const enabled = enabledUnits.filter((name) => units.has(name));
  await systemctl('enable', '--quiet', ...enabled);
  // One that systemd has given up could not be started; one that it does not know is an error.
  await systemctl('reset-failed', ...enabled.filter((name) => name.endsWith('.service'))).catch(() => {});
  for (const name of enabled) {
    await systemctl(name.endsWith('.socket') ? 'start' : 'restart', name);
  }
}

/** Stops and removes units. @returns whether one was there; those of a package are not. @throws Error as above */
export async function uninstallUnits(names: readonly string[]): Promise<boolean> {
  const installed = await installedOf(names);
  if (installed.size > 0) {
    await systemctl('disable', '--quiet', ...enabledUnits.filter((name) => installed.has(name)));
    await systemctl('stop', ...startable(installed));
    await Promise.all([...installed.keys()].map((name) => rm(join(unitFolder, name))));
    await systemctl('daemon-reload');
  }
  return installed.size > 0;
}

/**
 * The text of those of the units that are in place.
 * @throws Error if one of somebody else's is, or if there is no systemd
 */
export async function installedOf(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  // sd_booted(3)
  if (!existsSync('/run/systemd/system')) {
    throw new Error(
      'systemd does not run on this host: start `wgdriver serve` (or `wgdriver hub serve`) by other means',
    );
  }
  const texts = new Map<string, string>();
  for (const name of names) {
    const text = await installedText(name);
    if (text !== undefined) {
      texts.set(name, text);
    }
  }
  return texts;
}

/** A unit file of ours, if it is there. @throws Error if one of somebody else's is */
async function installedText(name: string): Promise<string | undefined> {
  const path = join(unitFolder, name);
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
    return undefined;
  });
  if (text?.startsWith(unitMark) === false) {
    throw new Error(`${path} was not written by wgdriver: move it elsewhere first`);
  }
  return text;
}

/** All but templates, which are none to start or stop. */
function startable(units: ReadonlyMap<string, string>): string[] {
  return [...units.keys()].filter((name) => !name.includes('@'));
}

async function systemctl(...args: readonly string[]): Promise<void> {
  const outcome = await run('systemctl', args, { timeoutMs: unitTimeoutMs });
  if (!outcome.ok) {
    throw new Error(outcome.cause);
  }
}
