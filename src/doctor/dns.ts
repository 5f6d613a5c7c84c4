import { isFrom28, type Survey } from './engine-survey.ts';
import { type Finding, listed, pass, warn } from './finding.ts';

const name = 'dns';

/**
 * From 28 on the engine asks the servers of the host's resolv.conf from the host's own namespace, and only
 * those that a user named from the container's, through the tunnel.
 */
export function judgeDns(survey: Pick<Survey, 'version' | 'versionText' | 'containers'>): Finding {
  if (!isFrom28(survey)) {
    return pass(name, `engine ${survey.versionText} asks DNS servers from the container`);
  }
  const leaks = survey.containers.filter(({ dns }) => dns.length === 0);
  return leaks.length === 0
    ? pass(name, 'every running container has its own DNS servers')
    : warn(
        name,
        `DNS queries leave from the host, past the tunnel: ${listed(leaks.map((container) => container.name))}`,
        'start the container with --dns (compose: `dns:`), unless Docker’s own `dns` setting names servers',
      );
}
