import { isOlder, parseVersionNumber } from '../version-number.ts';
import { type Finding, pass, warn } from './finding.ts';

/** Linux 5.6 is the first with WireGuard. */
const first = { major: 5, minor: 6 };

/** @param release what `uname -r` prints, such as `6.1.0-18-amd64` */
export function judgeKernelVersion(release: string): Finding {
  const version = parseVersionNumber(release);
  return version !== undefined && !isOlder(version, first)
    ? pass(
        'kernel-version',
        `${release}; WireGuard has been part of Linux since ${first.major}.${first.minor}`,
      )
    : warn(
        'kernel-version',
        `${release} is older than ${first.major}.${first.minor}, the first with WireGuard`,
        'upgrade the kernel, or install WireGuard as a separate module (wireguard-dkms)',
      );
}
