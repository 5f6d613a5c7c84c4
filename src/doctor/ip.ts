import { type Finding, fail, pass, warn } from './finding.ts';

/**
 * @param isInstalled whether the program `ip` is on the PATH
 * @param hasNetlink whether this runtime makes the kernel's links without it
 */
export function judgeIp(isInstalled: boolean, hasNetlink: boolean): Finding {
  const fix = 'install iproute2';
  if (isInstalled) {
    return pass('ip', 'installed');
  }
  return hasNetlink
    ? warn('ip', 'the program ip is missing; userspace links and some of these checks need it', fix)
    : fail('ip', 'the program ip, which makes the links, is missing', fix);
}
