import { type Finding, fail, pass } from './finding.ts';

/** @param isInstalled whether the program `ip` is on the PATH; every kind of link is made with it */
export function judgeIp(isInstalled: boolean): Finding {
  return isInstalled
    ? pass('ip', 'installed')
    : fail('ip', 'the program ip is missing, which links are made with', 'install iproute2');
}
