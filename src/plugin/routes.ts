import type * as v from 'valibot';
import { decode } from '../decode.ts';
import * as api from './api.ts';
import type { Driver } from './driver.ts';

/** One call of the API: from a decoded JSON body to the JSON object that answers it. */
export interface Route {
  readonly method: 'GET' | 'POST';
  /** Of the engine's calls, only Plugin.Activate and GetCapabilities come with an empty body. */
  readonly allowsEmptyBody: boolean;
  call(body: unknown): Promise<object>;
}

/** What is served to the engine: what it asks once and for all, and who answers its calls at the moment. */
export interface Plugin {
  readonly capabilities: api.GetCapabilityResponse;
  driver(): Promise<Driver>;
  /** How it does; for `wgdriver doctor` and the like. */
  health(): Health;
}

/** The answer to `GET /Plugin.Health`, ours, in the manner of the API. */
export interface Health {
  readonly Ready: boolean;
  /** What keeps the driver from serving. */
  readonly Missing?: string;
}

/** The routes by path, `/NetworkDriver.Join` and its like. */
export function routesOf(plugin: Plugin): ReadonlyMap<string, Route> {
  return new Map<string, Route>([
    // These two wait for nothing: what goes wrong here, the engine remembers until it is restarted.
    bodiless('Plugin.Activate', () => ({ Implements: ['NetworkDriver'] })),
    bodiless('NetworkDriver.GetCapabilities', () => plugin.capabilities),
    ['/Plugin.Health', { method: 'GET', allowsEmptyBody: true, call: async () => plugin.health() }],
    route('GwAllocCheck', api.GwAllocCheckerRequest, (driver, request) => driver.gwAllocCheck(request)),
    route('AllocateNetwork', api.AllocateNetworkRequest, (driver, request) =>
      driver.allocateNetwork(request),
    ),
    route('FreeNetwork', api.FreeNetworkRequest, (driver, request) => driver.freeNetwork(request)),
    route('CreateNetwork', api.CreateNetworkRequest, (driver, request) => driver.createNetwork(request)),
    route('DeleteNetwork', api.DeleteNetworkRequest, (driver, request) => driver.deleteNetwork(request)),
    route('CreateEndpoint', api.CreateEndpointRequest, (driver, request) => driver.createEndpoint(request)),
    route('DeleteEndpoint', api.DeleteEndpointRequest, (driver, request) => driver.deleteEndpoint(request)),
    route('EndpointOperInfo', api.EndpointInfoRequest, (driver, request) => driver.endpointOperInfo(request)),
    route('Join', api.JoinRequest, (driver, request) => driver.join(request)),
    route('Leave', api.LeaveRequest, (driver, request) => driver.leave(request)),
    route('ProgramExternalConnectivity', api.ProgramExternalConnectivityRequest, (driver, request) =>
      driver.programExternalConnectivity(request),
    ),
    route('RevokeExternalConnectivity', api.RevokeExternalConnectivityRequest, (driver, request) =>
      driver.revokeExternalConnectivity(request),
    ),
    route('DiscoverNew', api.DiscoveryNotification, (driver, request) => driver.discoverNew(request)),
    route('DiscoverDelete', api.DiscoveryNotification, (driver, request) => driver.discoverDelete(request)),
  ]);

  function route<Schema extends v.GenericSchema>(
    method: string,
    schema: Schema,
    call: (driver: Driver, request: v.InferOutput<Schema>) => unknown,
  ): [path: string, Route] {
    return [
      `/NetworkDriver.${method}`,
      {
        method: 'POST',
        allowsEmptyBody: false,
        async call(body) {
          const request = decode(schema, body, method);
          // An answer without a value is `{}`: an empty one would be a decode error in the engine.
          return ((await call(await plugin.driver(), request)) as object | undefined) ?? {};
        },
      },
    ];
  }
}

function bodiless(method: string, call: () => object): [path: string, Route] {
  return [`/${method}`, { method: 'POST', allowsEmptyBody: true, call: async () => call() }];
}
