/** The Debian releases a guest can run, oldest engine first. */
export const SUITES = ['bookworm', 'trixie', 'forky'] as const;
export type Suite = (typeof SUITES)[number];

const EVERYWHERE = [
  'busybox-static',
  'ca-certificates',
  'docker-compose',
  'docker.io',
  'iperf3',
  'iproute2',
  'iptables',
  'iputils-ping',
  'kmod',
  // What the official Node binary needs beyond a minimal Debian.
  'libatomic1',
  'linux-image-cloud-amd64',
  'mount',
  'nftables',
  'procps',
  'strace',
  'systemd',
  'systemd-sysv',
  'tcpdump',
  'udev',
  'util-linux',
  'wireguard-tools',
];

/** What a guest of `suite` has on its disk, beside Debian's essential packages. */
export function guestPackages(suite: Suite): string[] {
  // In bookworm the client is part of docker.io.
  return suite === 'bookworm' ? EVERYWHERE : ['docker-cli', ...EVERYWHERE];
}

/** Programs the lab runs on the host, and the package each comes from. */
export const HOST_PROGRAMS: Readonly<Record<string, string>> = {
  // The kernel is built with them.
  bc: 'bc',
  bison: 'bison',
  cc: 'build-essential',
  flex: 'flex',
  m4: 'm4',
  make: 'make',
  xz: 'xz-utils',
  mke2fs: 'e2fsprogs',
  mmdebstrap: 'mmdebstrap',
  'qemu-img': 'qemu-utils',
  'qemu-system-x86_64': 'qemu-system-x86',
  setpriv: 'util-linux',
};

/** Everything that must come from the same release as QEMU itself. */
export const QEMU_PACKAGES = [
  'qemu-system-x86',
  'qemu-system-common',
  'qemu-system-data',
  'qemu-utils',
  'seabios',
];

/** QEMU 7.2 of Debian 12 double-faults kernels from about 6.7 on; 8 was not seen to. */
export const OLDEST_QEMU = 8;
