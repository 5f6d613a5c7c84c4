import type * as api from './api.ts';

/**
 * What a remote network driver does, one function per call of the API. Whatever it throws becomes the
 * engine's `Err`, so messages name no secret. The engine repeats calls, sends them late and for things
 * the driver never saw: leave and the deletes succeed for what is not there.
 */
export interface Driver {
  gwAllocCheck(request: api.GwAllocCheckerRequest): api.GwAllocCheckerResponse;
  allocateNetwork(request: api.AllocateNetworkRequest): api.AllocateNetworkResponse;
  freeNetwork(request: api.FreeNetworkRequest): void;
  createNetwork(request: api.CreateNetworkRequest): Promise<void>;
  deleteNetwork(request: api.DeleteNetworkRequest): Promise<void>;
  createEndpoint(request: api.CreateEndpointRequest): Promise<api.CreateEndpointResponse>;
  deleteEndpoint(request: api.DeleteEndpointRequest): Promise<void>;
  endpointOperInfo(request: api.EndpointInfoRequest): api.EndpointInfoResponse;
  join(request: api.JoinRequest): Promise<api.JoinResponse>;
  leave(request: api.LeaveRequest): void;
  programExternalConnectivity(request: api.ProgramExternalConnectivityRequest): void;
  revokeExternalConnectivity(request: api.RevokeExternalConnectivityRequest): void;
  discoverNew(request: api.DiscoveryNotification): void;
  discoverDelete(request: api.DiscoveryNotification): void;
}
