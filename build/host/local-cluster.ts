import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { sh } from './commands.ts';
import { type Daemon, startDaemon, untilReady } from './daemon.ts';
import { wgdriver } from './driver.ts';
import { testImage } from './engine.ts';
import { article, tunnelIpv6 } from './hub.ts';
import { machineFunctions } from './machine.ts';
import { managedPlugin, pluginFolderFor } from './plugin.ts';
import type { Cluster, ClusterNode, Scope } from './swarm.ts';
import { findTunnel } from './tunnel.ts';

/** Empty where an engine and the plugin keep what is theirs, and shared mounts as systemd has them. */
const prepare = `
  for folder in /run /var/lib; do mount -t tmpfs -o mode=755 tmpfs $folder; done
  mkdir -p /run/tmp /run/etc/upper /run/etc/work
  mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
  # Of this network namespace, but with the control groups of before.
  mkdir /run/cgroup
  mount --rbind /sys/fs/cgroup /run/cgroup
  mount -t sysfs sysfs /sys
  mount --rbind /run/cgroup /sys/fs/cgroup
  mount --make-rshared /run
  hostname "$1"
  ip link set lo up
  echo prepared
  sleep infinity`;

/**
 * A cluster in the sandbox that this process is in: each node has namespaces of its own for network, mounts, processes and
 * its name, and a cable to a bridge.
 */
export async function openLocalCluster(scope: Scope, size: number): Promise<Cluster> {
  const tunnel = await findTunnel();
  const folder = '/run/cluster';
  const peers = join(folder, 'hub.peers');
  await mkdir(folder, { recursive: true });
  // In a namespace of its own, where no engine's rules for forwarding are.
  await sh(
    `ip netns add segment
     ip -n segment link add segment type bridge
     ip -n segment link set segment up`,
  );
  const plugin = await pluginFolderFor(tunnel);
  // A file system of its own, so that nodes with an empty /run of their own find it.
  await sh('mkdir -p /mnt; mount -t tmpfs tmpfs /mnt; cp -a "$1" /mnt/plugin', plugin);

  await sh(
    `ip netns add hub
     ip link add to-hub netns segment type veth peer name eth0 netns hub
     ip -n segment link set to-hub master segment up
     ip -n hub address add 10.77.0.1/24 dev eth0
     ip -n hub link set eth0 up
     ip -n hub link set lo up
     "$1" endpoint-config --format=setconf --seed=$2 --ipv6=$5 $3 >"$4" 2>/dev/null
     wg genkey >"$4.key"`,
    wgdriver,
    article.seed,
    article.subnet,
    peers,
    tunnelIpv6.prefix,
  );
  const onHub = (script: string) => sh('ip netns exec hub bash -c "$1"', machineFunctions + script);
  await onHub(
    `${tunnel.create.replaceAll('$1', 'wg-hub')}
     wg setconf wg-hub ${peers}
     wg set wg-hub private-key ${peers}.key listen-port 51820
     ip address add 192.168.5.1/24 dev wg-hub
     ip link set wg-hub up
     sysctl -qw net.ipv4.ip_forward=1`,
  );

  const nodes = await Promise.all(
    Array.from({ length: size }, (_, index) => openNode(`node${index + 1}`, `10.77.0.${index + 2}`)),
  );
  for (const node of nodes) {
    await node.sh(
      `mkdir -p /etc/wgdriver /var/lib/wgdriver-plugin
       (umask 077; echo ${article.seed} >/etc/wgdriver/app.seed)
       docker plugin create ${managedPlugin} /mnt/plugin >/dev/null
       docker plugin set ${managedPlugin} WGDRIVER_SCOPE=${scope}
       docker plugin enable ${managedPlugin}
       mkdir -p /run/image/bin /run/image/tmp
       cp "$(command -v busybox)" /run/image/bin/busybox
       for name in ip ls nslookup sleep; do ln -sf busybox /run/image/bin/$name; done
       tar -C /run/image -c . | docker import - ${testImage} >/dev/null`,
    );
  }
  return {
    hub: { hostname: 'hub', sh: onHub },
    nodes,
    examples: resolve('compose-examples'),
    async close() {
      await Promise.all(nodes.map((node) => node.powerOff()));
      await sh(
        'ip netns exec hub ip link delete wg-hub; ip netns delete hub; ip netns delete segment; umount /mnt',
      );
    },
  };
}

async function openNode(hostname: string, address: string): Promise<ClusterNode> {
  const namespaces = [
    '--mount',
    '--net',
    '--pid',
    '--uts',
    '--cgroup',
    '--fork',
    '--kill-child',
    '--mount-proc',
  ];
  const machine: Daemon = startDaemon('unshare', [...namespaces, 'sh', '-euc', prepare, 'sh', hostname]);
  await untilReady(machine, `${hostname} is prepared`, () => machine.output().includes('prepared'));
  const pid = await sh('pgrep --parent "$1"', String(machine.pid));
  const enter = ['nsenter', '--target', pid, '--mount', '--net', '--pid', '--uts', '--wd=/'];
  const path = `${dirname(wgdriver)}:${process.env.PATH}`;
  const node = {
    hostname,
    sh: (script: string) =>
      sh(
        'exec "$@"',
        ...enter,
        'env',
        `PATH=${path}`,
        'TMPDIR=/run/tmp',
        'bash',
        '-c',
        machineFunctions + script,
      ),
    async setConnected(isConnected: boolean) {
      await sh('ip -n segment link set "$1" "$2"', `to-${hostname}`, isConnected ? 'up' : 'down');
    },
    async powerOff() {
      await machine.stop('SIGKILL');
    },
  };
  await sh(
    `ip link add "$1" netns segment type veth peer name eth0 netns "$2"
     ip -n segment link set "$1" master segment up`,
    `to-${hostname}`,
    pid,
  );
  await node.sh(
    `ip address add ${address}/24 dev eth0
     ip link set eth0 up
     setsid dockerd ${process.env.WGDRIVER_TEST_CGROUP ? `--cgroup-parent ${process.env.WGDRIVER_TEST_CGROUP}` : ''} </dev/null >/run/dockerd.log 2>&1 &
     until docker version >/dev/null 2>&1; do sleep 0.5; done`,
  );
  return node;
}
