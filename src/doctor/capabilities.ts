import type { Privileges, Survey } from './engine-survey.ts';
import { type Finding, listed, pass, warn } from './finding.ts';

const name = 'capabilities';

/**
 * Looks for containers that could get past their kill switch: with NET_ADMIN by undoing it, with NET_RAW, beside
 * another network, by frames of their own making. Docker gives NET_RAW to every container that does not drop it.
 * NET_ADMIN also reads the private key of the container's link (WG_CMD_GET_DEVICE), with or without a kill switch.
 * Whoever is in a container's network namespace can do it for the container.
 */
export function judgeCapabilities({ containers }: Pick<Survey, 'containers'>): Finding {
  const inside = containers.flatMap(({ attachments, sharers, ...container }) => {
    const hasKillswitch = attachments.some((attachment) => attachment.hasKillswitch);
    const hasOthers = attachments.some(({ isOurs }) => !isOurs);
    return [container, ...sharers].map((party) => ({ party, hasKillswitch, hasOthers }));
  });
  const admins = inside.filter(({ party }) => hasCapability(party, 'NET_ADMIN'));
  const raw = inside.filter(
    ({ party, hasKillswitch, hasOthers }) =>
      hasKillswitch && hasOthers && hasCapability(party, 'NET_RAW', true),
  );
  const names = (list: typeof inside) => listed(list.map(({ party }) => party.name));
  const undoing = admins.some(({ hasKillswitch }) => hasKillswitch) ? ' and undo its kill switch' : '';
  const problems = [
    ...(admins.length === 0
      ? []
      : [
          {
            cause: `NET_ADMIN, and may read its private key${undoing}: ${names(admins)}`,
            fix: 'start it without --privileged and --cap-add NET_ADMIN, and rotate its key, which may have leaked',
          },
        ]),
    ...(raw.length === 0
      ? []
      : [
          {
            cause: `NET_RAW and another network, and may send past its kill switch with AF_XDP: ${names(raw)}`,
            fix: 'start it with --cap-drop NET_RAW',
          },
        ]),
  ];
  return problems.length === 0
    ? pass(name, 'no running container may read its private key or get past its kill switch')
    : warn(name, problems.map(({ cause }) => cause).join('; '), problems.map(({ fix }) => fix).join('; '));
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
