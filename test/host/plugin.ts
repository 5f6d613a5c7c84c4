import { resolve } from 'node:path';
import { sh } from './commands.ts';

/** What `npm run build:plugin` makes. */
export const pluginFolder = resolve('dist/plugin');

/** The managed plugin, as `-d` names it. */
export const managedPlugin = 'wireguard-plugin:latest';

/** The folders of the host that the plugin's mounts have as their sources, unless it is told otherwise. */
export const pluginMounts = ['/etc/wgdriver', '/var/lib/wgdriver-plugin'] as const;

/**
 * Makes, in `folder`, a copy of the plugin for a kernel without WireGuard: with wireguard-go and ip of this machine,
 * their libraries, a shell and the TUN device.
 */
export async function copyPluginForUserspace(folder: string): Promise<void> {
  await sh(
    `cp -a "$1/." "$2"
     for program in wireguard-go ip; do
       path=$(command -v $program)
       cp "$path" "$2/rootfs/usr/bin/$program"
       for library in $(ldd "$path" | grep -o '/[^ ]*'); do
         mkdir -p "$2/rootfs$(dirname "$library")"
         cp -L "$library" "$2/rootfs$library"
       done
     done
     mkdir -p "$2/rootfs/bin"
     cp "$(command -v busybox)" "$2/rootfs/bin/sh"
     sed -i 's|"Linux": {|"Linux": { "Devices": [{ "Name": "tun", "Path": "/dev/net/tun" }],|' "$2/config.json"`,
    pluginFolder,
    folder,
  );
}
