import { run } from '../programs/run.ts';
import { type Attempt, type Finding, pass, skip, warn } from './finding.ts';

const name = 'clock';

/** Asks systemd, which asks the kernel, so that it does not matter who keeps the clock. */
export function probeClock(): Promise<Attempt> {
  return run('timedatectl', ['show', '--property=NTPSynchronized', '--value']);
}

/**
 * A key moves with its address from host to host, and a hub drops a handshake that is older than the last it took
 * for that key (docs/clocks.md).
 */
export function judgeClock(answer: Attempt): Finding {
  const word = answer.ok ? answer.stdout.trim() : '';
  if (word === 'yes') {
    return pass(name, 'synchronised');
  }
  return word === 'no'
    ? warn(
        name,
        'not synchronised: a container that moves here from a host whose clock is ahead stays unreachable until this clock has caught up',
        'install chrony or systemd-timesyncd, and make sure that it reaches a time server',
      )
    : skip(name, 'timedatectl does not say whether the clock is synchronised');
}
