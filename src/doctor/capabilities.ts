import { type Finding, listed, pass, warn } from './finding.ts';
import type { Privileges, Survey } from './survey.ts';

const name = 'capabilities';

/**
 * Looks for containers that could get past their kill switch: with NET_ADMIN by undoing it, with NET_RAW, beside
 * another network, by frames of their own making. Docker gives NET_RAW to every container that does not drop it.
 * Whoever is in a container's network namespace can do it for the container.
 */
export function judgeCapabilities({ containers }: Pick<Survey, 'containers'>): Finding {
  const inside = containers
    .filter(({ attachments }) => attachments.some(({ hasKillswitch }) => hasKillswitch))
    .flatMap(({ attachments, sharers, ...container }) => {
      const hasOthers = attachments.some(({ isOurs }) => !isOurs);
      return [container, ...sharers].map((party) => ({ party, hasOthers }));
    });
  const admins = inside.filter(({ party }) => hasCapability(party, 'NET_ADMIN'));
  const raw = inside.filter(({ party, hasOthers }) => hasOthers && hasCapability(party, 'NET_RAW', true));
  if (admins.length === 0 && raw.length === 0) {
    return pass(name, 'no running container may undo its kill switch');
  }
  const names = (list: typeof inside) => listed(list.map(({ party }) => party.name));
  const causes = [
    ...(admins.length === 0 ? [] : [`NET_ADMIN, and may undo its kill switch: ${names(admins)}`]),
    ...(raw.length === 0 ? [] : [`NET_RAW beside another network: ${names(raw)}`]),
  ];
  return warn(
    name,
    causes.join('; '),
    'start it without --privileged and --cap-add NET_ADMIN, and with --cap-drop NET_RAW',
  );
}

function hasCapability(
  { isPrivileged, capAdd, capDrop }: Privileges,
  capability: string,
  isDefault = false,
): boolean {
  const has = (list: readonly string[]) =>
    list.some((given) => ['ALL', capability].includes(given.toUpperCase().replace(/^CAP_/, '')));
  return isPrivileged || has(capAdd) || (isDefault && !has(capDrop));
}
