import { dirname } from 'node:path';
import service from '../../build/systemd/wgdriver.service';
import socket from '../../build/systemd/wgdriver.socket';
import hubService from '../../build/systemd/wgdriver-hub.service';
import unavailableService from '../../build/systemd/wgdriver-unavailable@.service';
import unavailableSocket from '../../build/systemd/wgdriver-unavailable.socket';

/** The first words of each unit file that wgdriver writes, and of nobody else's. */
export const unitMark = '# Written by `wgdriver ';

export const hubUnit = 'wgdriver-hub.service';

/** The units that start at each boot, in this order; the others follow when the driver cannot start. */
export const enabledUnits: readonly string[] = ['wgdriver.socket', 'wgdriver.service', hubUnit];

/**
 * The unit files of the driver, by name.
 *
 * @param command what starts wgdriver, a word each
 * @param name the driver's
 */
export function driverUnits(command: readonly string[], name: string): ReadonlyMap<string, string> {
  const fill = (text: string) =>
    text.replaceAll('@WGDRIVER@', () => command.map(quoted).join(' ')).replaceAll('@NAME@', () => name);
  return new Map([
    ['wgdriver.socket', fill(socket)],
    ['wgdriver.service', fill(service)],
    ['wgdriver-unavailable.socket', fill(unavailableSocket)],
    ['wgdriver-unavailable@.service', fill(unavailableService)],
  ]);
}

/**
 * The unit file of a hub, by name.
 *
 * @param command what starts wgdriver, a word each
 * @param config the path of hub.yaml
 * @param privateKeyFile made if it is missing, in a folder that the unit then has to leave writable
 */
export function hubUnits(
  command: readonly string[],
  config: string,
  privateKeyFile: string,
): ReadonlyMap<string, string> {
  const folders = new Set([dirname(config), dirname(privateKeyFile)]);
  const text = hubService
    .replaceAll('@WGDRIVER@', () => command.map(quoted).join(' '))
    .replaceAll('@CONFIG@', () => quoted(config))
    .replaceAll('@FOLDERS@', () => [...folders].map((folder) => word(`-${folder}`)).join(' '));
  return new Map([[hubUnit, text]]);
}

/** One word of ExecStart= (systemd.service(5), command lines). */
function quoted(text: string): string {
  return word(text).replaceAll('$', () => '$$');
}

/** One word of a setting that is a list (systemd.syntax(7)). */
function word(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%');
  return /^[\w./-]+$/.test(text) ? text : `"${escaped}"`;
}
