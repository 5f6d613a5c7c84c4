import { readdir, readFile, writeFile } from 'node:fs/promises';
import type { Family } from '../netlink/family.ts';

export interface ForwardingWish {
  readonly link: string;
  /**
   * Where answers to what leaves come in; they are only forwarded if their link forwards. One that is not there now, as a
   * modem's, must not keep the hub from the rest.
   */
  readonly uplinks: readonly string[];
  /** Of its networks and clients. */
  readonly families: readonly Family[];
}

/**
 * Switches on forwarding: for the links themselves, where the kernel can. For IPv6 it can from Linux 6.17 on; before,
 * all links forward, and a link that took router advertisements goes on to (accept_ra=2), since a router would not.
 * @param sysctls where the kernel's settings of this network namespace are
 * @returns what was changed, as sysctl(8) names it
 * @throws Error that says which setting could not be written
 */
export async function switchOnForwarding(
  { link, uplinks, families }: ForwardingWish,
  sysctls = '/proc/sys/net',
): Promise<string[]> {
  const readSetting = async (name: string) =>
    (await readFile(`${sysctls}/${name}`, 'utf8').catch(() => undefined))?.trim();
  const changed: string[] = [];
  const set = async (name: string, value: string) => {
    const path = `${sysctls}/${name}`;
    if ((await readSetting(name)) === value) {
      return;
    }
    try {
      await writeFile(path, `${value}\n`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Error(
        `switch on forwarding: net/${name}=${value}: ${code}; set it on the host by \`sysctl -w net/${name}=${value}\``,
      );
    }
    changed.push(`net/${name}=${value}`);
  };
  const setAll = async (family: Family, name: string) => {
    await set(`${family}/conf/${link}/${name}`, '1');
    for (const uplink of uplinks) {
      if ((await readSetting(`${family}/conf/${uplink}/${name}`)) !== undefined) {
        await set(`${family}/conf/${uplink}/${name}`, '1');
      }
    }
  };
  if (families.includes('ipv4')) {
    await setAll('ipv4', 'forwarding');
  }
  if (families.includes('ipv6')) {
    if ((await readSetting(`ipv6/conf/${link}/force_forwarding`)) !== undefined) {
      await setAll('ipv6', 'force_forwarding');
    } else if ((await readSetting('ipv6/conf/all/forwarding')) === '0') {
      for (const name of await readdir(`${sysctls}/ipv6/conf`)) {
        if (name !== 'all' && (await readSetting(`ipv6/conf/${name}/accept_ra`)) === '1') {
          await set(`ipv6/conf/${name}/accept_ra`, '2');
        }
      }
      await set('ipv6/conf/all/forwarding', '1');
    }
  }
  return changed;
}
