import { type Attachment, isFrom28, type Survey, type SurveyedContainer } from './engine-survey.ts';
import { type Finding, listed, pass, warn } from './finding.ts';

const name = 'default-route';

/** The networks that a container's traffic to everywhere leaves by, of each family. */
export interface DefaultRoutes {
  readonly ipv4: Attachment | undefined;
  readonly ipv6: Attachment | undefined;
}

/**
 * Which of a container's networks the engine gives the default routes to: libnetwork's Endpoint.Less and
 * getGatewayEndpoint (moby, daemon/libnetwork, sandbox.go and default_gateway.go). The highest
 * gw-priority, then the most families, then the first by name. Engines up to 27 have no priorities, and
 * choose one network for both families: the first with an IPv4 gateway. Those from 28 on give both to the
 * first with two families, whatever the priority of one with IPv4 alone [seen on 28.5.2; moby issue 51999].
 * Where that is mended, in the course of 29, this names a bridge for IPv4 that has IPv6 alone.
 */
export function defaultRoutes(attachments: readonly Attachment[], from28: boolean): DefaultRoutes {
  // Inspection shows a gateway for internal bridges too, but none leads out of them.
  const preferred = attachments
    .filter(({ isInternal }) => !isInternal)
    .sort((a, b) => {
      const byPriority = from28 ? b.gwPriority - a.gwPriority : 0;
      return byPriority || families(b) - families(a) || (a.network < b.network ? -1 : 1);
    });
  const dualStack = preferred.find((attachment) => families(attachment) === 2);
  const ipv4 = dualStack ?? preferred.find(({ gateway }) => gateway !== '');
  const candidates = from28 ? preferred : preferred.filter((attachment) => attachment === ipv4);
  return { ipv4, ipv6: dualStack ?? candidates.find(({ gatewayIpv6 }) => gatewayIpv6 !== '') };
}

function families({ gateway, gatewayIpv6 }: Attachment): number {
  return [gateway, gatewayIpv6].filter((address) => address !== '').length;
}

interface Routed {
  readonly containers: readonly Pick<SurveyedContainer, 'name' | 'attachments'>[];
}

/** Looks for containers whose traffic leaves by another network than the one that was to carry it all. */
export function judgeDefaultRoute(survey: Pick<Survey, 'version'> & Routed): Finding {
  const from28 = isFrom28(survey);
  const leaks = survey.containers.flatMap((container) => leakOf(container, from28) ?? []);
  return leaks.length === 0
    ? pass(name, 'no running container’s traffic leaves past its tunnel')
    : warn(
        name,
        `traffic leaves past the tunnel: ${listed(leaks)}`,
        `create the WireGuard network without killswitch=off, disconnect the container from the other one, or make that one --internal; where it has no IPv6, ${
          from28 ? 'gw-priority on the WireGuard network' : 'a name that sorts after the WireGuard network’s'
        } does it too`,
      );
}

/** Such as `app by web`; undefined if all is well. */
function leakOf(
  { name: container, attachments }: Routed['containers'][number],
  from28: boolean,
): string | undefined {
  // With its kill switch the driver routes by itself.
  if (attachments.some(({ hasKillswitch }) => hasKillswitch)) {
    return undefined;
  }
  // A network of ours without a gateway (--internal, or some allowed IPs only) was not to carry all.
  if (!attachments.some((attachment) => attachment.isOurs && families(attachment) > 0)) {
    return undefined;
  }
  const { ipv4, ipv6 } = defaultRoutes(attachments, from28);
  if (ipv4?.isOurs === false) {
    return `${container} by ${ipv4.network}`;
  }
  return ipv6?.isOurs === false ? `${container} by ${ipv6.network} (IPv6)` : undefined;
}
