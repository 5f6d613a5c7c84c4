import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { sh } from './commands.ts';
import type { Tunnel } from './tunnel.ts';

/** What `npm run build:plugin` makes. */
export const pluginFolder = resolve('dist/plugin');

/** The managed plugin, as `-d` names it. */
export const managedPlugin = 'wireguard-plugin:latest';

/** The folders of the host that the plugin's mounts have as their sources, unless it is told otherwise. */
export const pluginMounts = ['/etc/wgdriver', '/var/lib/wgdriver-plugin'] as const;

/**
 * The folder of a plugin that works on this kernel: where that has no WireGuard, a copy with wireguard-go and ip of this
 * machine, their libraries, a shell and the TUN device.
 */
export async function pluginFolderFor({ backend }: Tunnel): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-plugin-'));
  await sh('cp -a "$1/." "$2"', pluginFolder, folder);
  if (backend === 'userspace') {
    await sh(
      `for program in wireguard-go ip; do
         path=$(command -v $program)
         cp "$path" "$1/rootfs/usr/bin/$program"
         for library in $(ldd "$path" | grep -o '/[^ ]*'); do
           mkdir -p "$1/rootfs$(dirname "$library")"
           cp -L "$library" "$1/rootfs$library"
         done
       done
       mkdir -p "$1/rootfs/bin"
       cp "$(command -v busybox)" "$1/rootfs/bin/sh"
       sed -i 's|"Linux": {|"Linux": { "Devices": [{ "Name": "tun", "Path": "/dev/net/tun" }],|' "$1/config.json"`,
      folder,
    );
  }
  return folder;
}
