/**
 * The messages of libnetwork's remote driver API, with the names they have on the wire. The authority
 * is moby's daemon/libnetwork/drivers/remote/api/api.go. Decoding is lenient on what is not used here
 * (fields come and go between engines) and strict on what is.
 */
import * as v from 'valibot';
import { byName } from '../decode.ts';

/**
 * An id, as the engine makes them: 64 hexadecimal digits. Others are accepted as long as they can be
 * the name of a file.
 */
const id = v.pipe(
  v.string(),
  v.regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/,
    'expected an id of letters, digits, dot, dash and underscore',
  ),
);

/** The engine leaves empty maps out or writes null. */
const options = v.nullish(byName(v.unknown()), {});

/** driverapi.IPAMData: `Gateway` is a CIDR (`192.168.5.1/24`), `Pool` the subnet. */
const ipamData = v.object({
  Pool: v.nullish(v.string(), ''),
  Gateway: v.nullish(v.string(), ''),
});

/** An unused family is an empty list or null. */
const ipamDataList = v.nullish(v.array(ipamData), []);

const network = { NetworkID: id };
const endpoint = { NetworkID: id, EndpointID: id };

export const CreateNetworkRequest = v.object({
  ...network,
  Options: options,
  IPv4Data: ipamDataList,
  IPv6Data: ipamDataList,
});
export const DeleteNetworkRequest = v.object(network);
export const AllocateNetworkRequest = CreateNetworkRequest;
export const FreeNetworkRequest = v.object(network);
export const GwAllocCheckerRequest = v.object({ Options: options });
export const CreateEndpointRequest = v.object({
  ...endpoint,
  Interface: v.nullish(
    v.object({
      Address: v.nullish(v.string(), ''),
      AddressIPv6: v.nullish(v.string(), ''),
      MacAddress: v.nullish(v.string(), ''),
    }),
    {},
  ),
  Options: options,
});
export const DeleteEndpointRequest = v.object(endpoint);
export const EndpointInfoRequest = v.object(endpoint);
export const JoinRequest = v.object({ ...endpoint, SandboxKey: v.nullish(v.string(), ''), Options: options });
export const LeaveRequest = v.object(endpoint);
export const ProgramExternalConnectivityRequest = v.object({ ...endpoint, Options: options });
export const RevokeExternalConnectivityRequest = v.object(endpoint);
export const DiscoveryNotification = v.object({
  DiscoveryType: v.nullish(v.number(), 0),
  DiscoveryData: v.unknown(),
});

export type IPAMData = v.InferOutput<typeof ipamData>;
export type CreateNetworkRequest = v.InferOutput<typeof CreateNetworkRequest>;
export type DeleteNetworkRequest = v.InferOutput<typeof DeleteNetworkRequest>;
export type AllocateNetworkRequest = v.InferOutput<typeof AllocateNetworkRequest>;
export type FreeNetworkRequest = v.InferOutput<typeof FreeNetworkRequest>;
export type GwAllocCheckerRequest = v.InferOutput<typeof GwAllocCheckerRequest>;
export type CreateEndpointRequest = v.InferOutput<typeof CreateEndpointRequest>;
export type DeleteEndpointRequest = v.InferOutput<typeof DeleteEndpointRequest>;
export type EndpointInfoRequest = v.InferOutput<typeof EndpointInfoRequest>;
export type JoinRequest = v.InferOutput<typeof JoinRequest>;
export type LeaveRequest = v.InferOutput<typeof LeaveRequest>;
export type ProgramExternalConnectivityRequest = v.InferOutput<typeof ProgramExternalConnectivityRequest>;
export type RevokeExternalConnectivityRequest = v.InferOutput<typeof RevokeExternalConnectivityRequest>;
export type DiscoveryNotification = v.InferOutput<typeof DiscoveryNotification>;

export interface GetCapabilityResponse {
  readonly Scope: 'local' | 'global';
  readonly ConnectivityScope: 'local' | 'global';
  /** From engine 28 on: ask GwAllocCheck before CreateNetwork. */
  readonly GwAllocChecker: boolean;
}

export interface GwAllocCheckerResponse {
  /** true: the engine need not reserve a gateway address. */
  readonly SkipIPv4: boolean;
  readonly SkipIPv6: boolean;
}

export interface AllocateNetworkResponse {
  /** What each node's CreateNetwork gets as its options. */
  readonly Options: Readonly<Record<string, string>>;
}

export interface CreateEndpointResponse {
  /** Only what the engine left empty; what it filled must not come back. */
  readonly Interface: Readonly<Partial<Record<'Address' | 'AddressIPv6', string>>>;
}

export interface EndpointInfoResponse {
  readonly Value: Readonly<Record<string, string>>;
}

/** types.StaticRoute: 0 by a next hop, 1 connected. */
export interface StaticRoute {
  readonly Destination: string;
  readonly RouteType: 0 | 1;
  readonly NextHop: string;
}

export interface JoinResponse {
  /** The link to move into the container, and what its name there begins with (at most 14 characters). */
  readonly InterfaceName: { readonly SrcName: string; readonly DstPrefix: string };
  readonly Gateway?: string;
  readonly GatewayIPv6?: string;
  readonly StaticRoutes: readonly StaticRoute[];
  /** Always: without it an engine that sees no Gateway attaches docker_gwbridge, a way out in clear. */
  readonly DisableGatewayService: true;
}
