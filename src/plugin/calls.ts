import * as v from 'valibot';
import { decode } from '../decode.ts';
import * as api from './api.ts';
import type { Driver } from './driver.ts';

/** Prometheus’ text format. */
const metricsType = 'text/plain; version=0.0.4; charset=utf-8';

/** One call of the API: from a decoded JSON body to the JSON object that answers it. */
export interface Route {
  readonly method: 'GET' | 'POST';
  /** Of the engine's calls, only Plugin.Activate and GetCapabilities come with an empty body. */
  readonly allowsEmptyBody: boolean;
  /** What it answers: an object is sent as JSON, text as it is. */
  call(body: unknown): Promise<object | string>;
  /** Of text. */
  readonly contentType?: string;
}

/** What is served to the engine: what it asks once and for all, and who answers its calls at the moment. */
export interface Plugin {
  readonly capabilities: api.GetCapabilityResponse;
  driver(): Promise<Driver>;
  /** How it does, for `wgdriver status` and `doctor`: our own call, and no part of the API. */
  health(): Promise<Health>;
  /** For `wgdriver reload`: our own call, too. @param networks how the ids of networks begin; none for all */
  reload(networks: readonly string[]): Promise<object>;
  /** Prometheus’ text. */
  metrics(): Promise<string>;
  /** A call was answered. */
  readonly observe?: (call: string, outcome: 'ok' | 'error', seconds: number) => void;
}

export interface ReadyState {
  readonly ready: boolean;
  /** What keeps the driver from serving. */
  readonly missing?: string;
}

/** The answer to `GET /Plugin.Health`. */
export interface Health extends ReadyState {
  /** The containers on our networks, as driver/status.ts has them. */
  readonly endpoints: readonly object[];
}

const reloadRequest = v.object({ Networks: v.optional(v.array(v.string()), []) });

/** The routes by path, `/NetworkDriver.Join` and its like. */
export function routesOf(plugin: Plugin): ReadonlyMap<string, Route> {
  return new Map<string, Route>([
    // These two wait for nothing: what goes wrong here, the engine remembers until it is restarted.
    bodiless('Plugin.Activate', () => ({ Implements: ['NetworkDriver'] })),
    bodiless('NetworkDriver.GetCapabilities', () => plugin.capabilities),
    ['/Plugin.Health', { method: 'GET', allowsEmptyBody: true, call: () => plugin.health() }],
    [
      '/Plugin.Reload',
      {
        method: 'POST',
        allowsEmptyBody: false,
        call: (body) => plugin.reload(decode(reloadRequest, body, 'Plugin.Reload').Networks),
      },
    ],
    metricsRoute(plugin),
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

  function observed(method: string, call: Route['call']): Route['call'] {
    return async (body) => {
      const started = performance.now();
      const tell = (outcome: 'ok' | 'error') =>
        plugin.observe?.(method, outcome, (performance.now() - started) / 1000);
      try {
        const answer = await call(body);
        tell('ok');
        return answer;
      } catch (error) {
        tell('error');
        throw error;
      }
    };
  }

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
        call: observed(method, async (body) => {
          const request = decode(schema, body, method);
          // An answer without a value is `{}`: an empty one would be a decode error in the engine.
          return ((await call(await plugin.driver(), request)) as object | undefined) ?? {};
        }),
      },
    ];
  }
}

/** A scrape of Prometheus’. */
export function metricsRoute(plugin: Pick<Plugin, 'metrics'>): [path: string, Route] {
  return [
    '/metrics',
    { method: 'GET', allowsEmptyBody: true, call: () => plugin.metrics(), contentType: metricsType },
  ];
}

function bodiless(method: string, call: () => object): [path: string, Route] {
  return [`/${method}`, { method: 'POST', allowsEmptyBody: true, call: async () => call() }];
}
