import { type Finding, pass, warn } from './finding.ts';

/** Linux 5.6 is the first with WireGuard. */
const first = { major: 5, minor: 6 };

/** @param release what `uname -r` prints, such as `6.1.0-18-amd64` */
export function judgeKernelVersion(release: string): Finding {
  const { major, minor } = /^(?<major>\d+)\.(?<minor>\d+)/.exec(release)?.groups ?? {};
  const isNewEnough =
    Number(major) > first.major || (Number(major) === first.major && Number(minor) >= first.minor);
  return isNewEnough
    ? pass('kernel-version', `${release}, and WireGuard came with ${first.major}.${first.minor}`)
    : warn(
        'kernel-version',
        `${release} is older than ${first.major}.${first.minor}, the first with WireGuard`,
        'upgrade the kernel, or install WireGuard as a module of its own (wireguard-dkms)',
      );
}
