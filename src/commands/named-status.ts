import type { EndpointStatus } from '../driver/status.ts';
import type { Names } from '../engine/names.ts';

/** With what users call the container and its network, where that is known. */
export type NamedStatus = EndpointStatus & { readonly container?: string; readonly network?: string };

export function named(status: NamedStatus, names: Names): NamedStatus {
  const container = names.container(status.endpointId);
  const network = names.network(status.networkId);
  return {
    ...status,
    ...(container !== undefined && { container }),
    ...(network !== undefined && { network }),
  };
}
