import service from '../../build/systemd/wgdriver.service';
import socket from '../../build/systemd/wgdriver.socket';
import unavailableService from '../../build/systemd/wgdriver-unavailable@.service';
import unavailableSocket from '../../build/systemd/wgdriver-unavailable.socket';

/** The first words of each unit file that `wgdriver service install` writes, and of nobody else's. */
export const unitMark = '# Written by `wgdriver service install`';

/** The units that start at each boot; the others follow when the driver cannot start. */
export const enabledUnits: readonly string[] = ['wgdriver.socket', 'wgdriver.service'];

/**
 * The unit files of the driver, by name.
 *
 * @param command what starts wgdriver, a word each
 * @param name the driver's
 */
export function unitFiles(command: readonly string[], name: string): ReadonlyMap<string, string> {
  const fill = (text: string) =>
    text.replaceAll('@WGDRIVER@', () => command.map(quoted).join(' ')).replaceAll('@NAME@', () => name);
  return new Map([
    ['wgdriver.socket', fill(socket)],
    ['wgdriver.service', fill(service)],
    ['wgdriver-unavailable.socket', fill(unavailableSocket)],
    ['wgdriver-unavailable@.service', fill(unavailableService)],
  ]);
}

/** One word of ExecStart= (systemd.service(5), command lines). */
function quoted(word: string): string {
  const escaped = word
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('%', '%%')
    .replaceAll('$', () => '$$');
  return /^[\w./-]+$/.test(word) ? word : `"${escaped}"`;
}
