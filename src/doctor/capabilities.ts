import { type Finding, listed, pass, warn } from './finding.ts';
import type { Survey, SurveyedContainer } from './survey.ts';

const name = 'capabilities';

type Privileges = Pick<SurveyedContainer, 'isPrivileged' | 'capAdd' | 'capDrop'>;

/**
 * Looks for containers that could get past their kill switch: with NET_ADMIN by undoing it, with NET_RAW, beside
 * another network, by frames of their own making. Docker gives NET_RAW to every container that does not drop it.
 */
export function judgeCapabilities({ containers }: Pick<Survey, 'containers'>): Finding {
  const guarded = containers.filter(({ attachments }) =>
    attachments.some(({ hasKillswitch }) => hasKillswitch),
  );
  const admins = guarded.filter((container) => hasCapability(container, 'NET_ADMIN'));
  const raw = guarded.filter(
    (container) =>
      container.attachments.some(({ isOurs }) => !isOurs) && hasCapability(container, 'NET_RAW', true),
  );
  if (admins.length === 0 && raw.length === 0) {
    return pass(name, 'no running container may undo its kill switch');
  }
  const names = (list: readonly SurveyedContainer[]) => listed(list.map((container) => container.name));
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
