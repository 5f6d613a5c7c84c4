import type { ReadEndpoint } from '../driver/status.ts';
import type { Names } from '../engine/names.ts';
import type { EndpointMetrics } from '../metrics/metrics.ts';

/** What metrics say of an endpoint, with what users call its container and its network where that is known. */
export function metricsOf({ status, link, isLinkShared }: ReadEndpoint, names: Names): EndpointMetrics {
  const { endpointId, networkId, addresses, killswitch } = status;
  return {
    network: names.network(networkId) ?? networkId,
    container: names.container(endpointId) ?? endpointId,
    address: addresses.join(),
    link,
    isLinkShared,
    isProtected: killswitch === 'up' ? true : killswitch === 'down' ? false : undefined,
  };
}
