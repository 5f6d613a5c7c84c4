import type { DeleteEndpointRequest, DeleteNetworkRequest } from './api.ts';
import type { ReadyState } from './calls.ts';
import type { Driver } from './driver.ts';

/** Whether the engine's calls can be served yet, and what they get until then. */
export interface Readiness {
  state(): ReadyState;
  /**
   * Who answers a call that comes now: the driver once it is ready, and before that one that refuses. Waits while
   * nothing is known to be missing, for as long as a start takes: at boot the engine does not ask twice.
   */
  driver(): Promise<Driver>;
  /** Until it is ready, calls are refused at once from here on, with what is missing. */
  refuse(missing: string): void;
  /** From here on the driver answers. Gives the removals that were refused meanwhile, for it to make up for. */
  admit(driver: Driver): RefusedRemovals;
}

/** The engine forgets what it removes, whatever the answer. */
export interface RefusedRemovals {
  readonly endpoints: readonly DeleteEndpointRequest[];
  readonly networks: readonly DeleteNetworkRequest[];
}

/** @param patienceMs how long calls wait, from now, for the first word of `refuse` or `admit` */
export function createReadiness(patienceMs: number): Readiness {
  const endpoints = new Map<string, DeleteEndpointRequest>();
  const networks = new Map<string, DeleteNetworkRequest>();
  let missing: string | undefined = 'it is still starting';
  let ready: Driver | undefined;
  let decide = () => {};
  const decided = new Promise<void>((resolve) => {
    decide = resolve;
  });

  const refuse = (): never => {
    throw new Error(`the driver is not ready: ${missing}`);
  };
  const refusing: Driver = {
    gwAllocCheck: refuse,
    allocateNetwork: refuse,
    freeNetwork: refuse,
    createNetwork: refuse,
    deleteNetwork(request) {
      networks.set(request.NetworkID, request);
      return refuse();
    },
    createEndpoint: refuse,
    deleteEndpoint(request) {
      endpoints.set(request.EndpointID, request);
      return refuse();
    },
    endpointOperInfo: refuse,
    join: refuse,
    leave: refuse,
    programExternalConnectivity: refuse,
    revokeExternalConnectivity: refuse,
    discoverNew: refuse,
    discoverDelete: refuse,
  };

  const timer = setTimeout(decide, patienceMs);
  return {
    state: () => (missing === undefined ? { ready: true } : { ready: false, missing }),
    async driver() {
      await decided;
      return ready ?? refusing;
    },
    refuse(cause) {
      if (ready === undefined) {
        missing = cause;
        clearTimeout(timer);
        decide();
      }
    },
    admit(driver) {
      missing = undefined;
      ready = driver;
      clearTimeout(timer);
      decide();
      return { endpoints: [...endpoints.values()], networks: [...networks.values()] };
    },
  };
}
