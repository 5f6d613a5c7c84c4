import { optionPrefix } from '../networks/options.ts';
import { closedFamilies } from '../networks/scope.ts';
import type { Attachment, Survey } from './engine-survey.ts';
import { type Finding, listed, pass, warn } from './finding.ts';

const name = 'ipv6';

/** Looks for containers whose list of allowed IPs has no IPv6, while another network carries IPv6 to everywhere. */
export function judgeIpv6({ containers }: Pick<Survey, 'containers'>): Finding {
  const open = containers.flatMap(({ name: container, attachments }) => {
    const other = attachments.find((each) => !each.isOurs && !each.isInternal && each.gatewayIpv6 !== '');
    return other !== undefined && attachments.some(isOfIpv4Alone) ? [`${container} by ${other.network}`] : [];
  });
  return open.length === 0
    ? pass(name, 'no container has IPv6 through another network while allowedips lists only IPv4 prefixes')
    : warn(
        name,
        `allowedips has only IPv4 prefixes, and IPv6 leaves through another network: ${listed(open)}`,
        `add the IPv6 prefixes that belong in the tunnel to ${optionPrefix}allowedips, or create the other network without --ipv6`,
      );
}

/** A list without IPv6 that does not close it, either: see closedFamilies. */
function isOfIpv4Alone({ isOurs, isInternal, allowedips }: Attachment): boolean {
  return (
    isOurs &&
    !isInternal &&
    allowedips?.every(({ address }) => address.kind() === 'ipv4') === true &&
    closedFamilies(allowedips).length === 0
  );
}
