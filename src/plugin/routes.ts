import type * as v from 'valibot';
import { decode } from '../decode.ts';
import * as api from './api.ts';
import type { Driver } from './driver.ts';

/** One call of the API: from a decoded JSON body to the JSON object that answers it. */
export interface Route {
  /** Only Plugin.Activate and GetCapabilities come with an empty body. */
  readonly allowsEmptyBody: boolean;
  call(body: unknown): Promise<object>;
}

/** The routes by path, `/NetworkDriver.Join` and its like. */
export function routesOf(driver: Driver): ReadonlyMap<string, Route> {
  return new Map<string, Route>([
    bodiless('Plugin.Activate', () => ({ Implements: ['NetworkDriver'] })),
    bodiless('NetworkDriver.GetCapabilities', () => driver.getCapabilities()),
    route('GwAllocCheck', api.GwAllocCheckerRequest, (request) => driver.gwAllocCheck(request)),
    route('AllocateNetwork', api.AllocateNetworkRequest, (request) => driver.allocateNetwork(request)),
    route('FreeNetwork', api.FreeNetworkRequest, (request) => driver.freeNetwork(request)),
    route('CreateNetwork', api.CreateNetworkRequest, (request) => driver.createNetwork(request)),
    route('DeleteNetwork', api.DeleteNetworkRequest, (request) => driver.deleteNetwork(request)),
    route('CreateEndpoint', api.CreateEndpointRequest, (request) => driver.createEndpoint(request)),
    route('DeleteEndpoint', api.DeleteEndpointRequest, (request) => driver.deleteEndpoint(request)),
    route('EndpointOperInfo', api.EndpointInfoRequest, (request) => driver.endpointOperInfo(request)),
    route('Join', api.JoinRequest, (request) => driver.join(request)),
    route('Leave', api.LeaveRequest, (request) => driver.leave(request)),
    route('ProgramExternalConnectivity', api.ProgramExternalConnectivityRequest, (request) =>
      driver.programExternalConnectivity(request),
    ),
    route('RevokeExternalConnectivity', api.RevokeExternalConnectivityRequest, (request) =>
      driver.revokeExternalConnectivity(request),
    ),
    route('DiscoverNew', api.DiscoveryNotification, (request) => driver.discoverNew(request)),
    route('DiscoverDelete', api.DiscoveryNotification, (request) => driver.discoverDelete(request)),
  ]);
}

function bodiless(method: string, call: () => object): [path: string, Route] {
  return [`/${method}`, { allowsEmptyBody: true, call: async () => call() }];
}

function route<Schema extends v.GenericSchema>(
  method: string,
  schema: Schema,
  call: (request: v.InferOutput<Schema>) => unknown,
): [path: string, Route] {
  return [
    `/NetworkDriver.${method}`,
    {
      allowsEmptyBody: false,
      // An answer without a value is `{}`: an empty one would be a decode error in the engine.
      call: async (body) => ((await call(decode(schema, body, method))) as object | undefined) ?? {},
    },
  ];
}
