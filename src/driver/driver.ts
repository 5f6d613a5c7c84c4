import type { Gateways } from '../gateway/gateways.ts';
import { kernelFamilies } from '../killswitch/families.ts';
import type { Guard } from '../killswitch/killswitch.ts';
import type { Links } from '../links/links.ts';
import { selectUplinksTo, type UplinksTo } from '../links/uplink.ts';
import { type Log, msSince } from '../log.ts';
import { refuseOwnLinkOptions, refuseUnfit } from '../networks/conf-file.ts';
import { dnsServers, refuseForeignDns } from '../networks/dns.ts';
import { addressesOfFile, endpointAddresses, refuseIpv6Of } from '../networks/endpoint-addresses.ts';
import { refuseOverlap } from '../networks/ipv6.ts';
import {
  genericOptions,
  type Network,
  networkOf,
  recordOf,
  refuseSmallMtu,
  refuseUnusable,
} from '../networks/network.ts';
import {
  decodeEndpointOptions,
  defaultSecretsFolder,
  optionPrefix,
  ourOptions,
  passedOver,
  passedOverOfEndpoint,
  refuseMistakes,
} from '../networks/options.ts';
import { scopeOf } from '../networks/scope.ts';
import { peersOf, type TunnelSecrets } from '../networks/tunnel.ts';
import type { GetCapabilityResponse } from '../plugin/api.ts';
import type { Driver } from '../plugin/driver.ts';
import { GenericData } from '../plugin/netlabel.ts';
import type { Marker } from '../state/marker.ts';
import type { Endpoint, Store } from '../state/store.ts';
import { formatPrefix } from '../wireguard/address.ts';
import { containerLinkPrefix } from '../wireguard/link-name.ts';
import { fieldsOf } from './endpoint-states.ts';
import { hostAddresses } from './host-addresses.ts';
import { createFollow, type Follow } from './hub-following.ts';
import { createHubLinks } from './hub-links.ts';
import type { HubNames } from './hub-names.ts';
import { createLifecycle } from './lifecycle.ts';
import { createLostIpv6Check } from './lost-ipv6.ts';
import { createNetworkKeys } from './network-keys.ts';
import { createReconcile } from './reconcile.ts';
import { createReload, type Reload } from './reload.ts';
import { readConfiguration, readSecrets } from './secrets.ts';
import { createSharedHealing } from './shared-healing.ts';
import { createStatus, type ReadEndpoint } from './status.ts';
import {
  dnsWarning,
  endpointWarnings,
  ignoredEndpointWarnings,
  ignoredWarnings,
  ipv6Warnings,
  networkWarnings,
} from './warnings.ts';
import { joinRoutes } from './wire.ts';

export interface DriverDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly guard: Guard;
  readonly gateways: Gateways;
  readonly hubNames: HubNames;
  readonly log: Log;
  readonly uplinksTo?: UplinksTo;
  /** What the relative paths of seed files are relative to. */
  readonly secretsFolder?: string;
  /** Who assigns addresses: this host, unless a Swarm's managers. */
  readonly scope?: Scope;
  /** Has this kernel IPv6? It can be booted without. */
  readonly hasIpv6?: boolean;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
  /** Milliseconds of UNIX time. */
  readonly unixNow?: () => number;
  /** Has the engine that calls this network? Undefined if it does not say. A call waits for the answer. */
  readonly engineHas?: (networkId: string) => Promise<boolean | undefined>;
  /** Remembers a reload over a kill. */
  readonly reloadMarker?: Marker;
  /** An attempt to undo what was left behind, or to mend a tunnel, failed. */
  readonly onFailure?: (of: 'reconcile' | 'healing') => void;
}

export interface WireGuardDriver extends Driver {
  /** Undoes what faults and kills have left behind (createReconcile); at the start, and now and then. */
  reconcile(): Promise<void>;
  /** Keeps links in touch with their hubs. */
  readonly follow: Follow;
  /** Reads the links of all containers. */
  readonly status: () => Promise<readonly ReadEndpoint[]>;
  /** Protects the containers that run already: their networks may have changed meanwhile, and will. */
  protectAll(): Promise<void>;
  /** The same for those that could not be protected before; every 5 s. */
  protectMissed(): Promise<void>;
  /** Reads files again, and changes the links of running containers where they are (createReload). */
  readonly reload: Reload;
  /** Looks at the hubs’ links on this host, and sets right what is missing or too much there; every 10 s. */
  checkHubLinks(): Promise<void>;
  /** Tells the log of containers whose sysctls took their IPv6 away (createLostIpv6Check); every 15 s. */
  checkIpv6(): Promise<void>;
  /** Looks whether shared tunnels are there, and makes anew what is lost (createSharedHealing); every 2 s. */
  healSharedTunnels(): Promise<void>;
  /** The networks that it remembers. */
  networks(): readonly Network[];
  /** Forgets a network that the engine does not have, unless it came anew since, or is in use. @returns whether it did */
  forgetNetwork(seen: Network): Promise<boolean>;
  /** Resolves when nothing writes to the state any more, once no call is under way and none of the above. */
  close(): Promise<void>;
}

/** Who assigns the addresses of a network: each host its own, or a Swarm's managers. */
export const scopes = ['local', 'global'] as const;
export type Scope = (typeof scopes)[number];

/**
 * Containers on different hosts reach one another through the hub, whoever assigns their addresses; a Swarm then
 * tells all its nodes the names of services.
 */
export function capabilitiesOf(scope: Scope): GetCapabilityResponse {
  return { Scope: scope, ConnectivityScope: 'global', GwAllocChecker: true };
}

/** The engine's calls, in terms of networks, endpoints and their links. */
export function createDriver({
  store,
  links,
  guard,
  gateways,
  hubNames,
  log,
  uplinksTo = selectUplinksTo(),
  secretsFolder = defaultSecretsFolder,
  scope = 'local',
  hasIpv6 = kernelFamilies().includes('ipv6'),
  now = () => performance.now(),
  unixNow = Date.now,
  engineHas,
  reloadMarker,
  onFailure,
}: DriverDependencies): WireGuardDriver {
  let hasToldOfIpv6 = false;
  /** Networks that were warned of. */
  const toldOfDns = new Set<string>();
  const toldOfLostIpv6 = new Set<string>();
  /** Of an earlier driver, which may have been killed before the engine wrote them down, or before it forgot them itself. */
  const inherited = new Set(store.networks());
  const hubLinks = createHubLinks({ links, store, log, hasIpv6 });
  const lifecycle = createLifecycle({
    store,
    links,
    guard,
    gateways,
    hubNames,
    hubLinks,
    log,
    hasIpv6,
    secretsFolder,
    uplinksTo,
    now,
    unixNow,
  });
  const follow = createFollow({
    lifecycle,
    links,
    hubNames,
    uplinksTo,
    log,
    now,
    unixNow,
    onFailure: () => onFailure?.('healing'),
  });

  const reload = createReload({
    lifecycle,
    networks: () => store.networks(),
    links,
    hubLinks,
    hubNames,
    log,
    ...(reloadMarker && { marker: reloadMarker }),
  });
  const withNetworkKey = createNetworkKeys({ store, secretsFolder, forgetIfLost });

  /**
   * A Swarm hands its networks to its nodes again and again, also those that were made before names of options were
   * checked. They have ids of 25 digits in base 36 (moby/swarmkit, identity), and the engine's have 64 in base 16.
   */
  const isOfSwarm = ({ networkId }: Network) => scope === 'global' || /^[0-9a-z]{25}$/.test(networkId);

  return {
    reconcile: createReconcile({ lifecycle, links, log, now, onFailure: () => onFailure?.('reconcile') }),
    follow,
    status: createStatus({ lifecycle, links, follow, hubNames, guard, now, unixNow }),
    async protectAll() {
      const networks = store.networks();
      await lifecycle.protectAll();
      warnOfClosedIpv6(networks);
    },
    protectMissed: lifecycle.protectAll,
    healSharedTunnels: createSharedHealing({ lifecycle, log, onFailure: () => onFailure?.('healing') }),
    reload,
    networks: store.networks,
    forgetNetwork,
    close: lifecycle.close,
    async checkHubLinks() {
      const changed = await hubLinks.check(
        { endpoints: lifecycle.endpoints, networks: store.networks },
        (options, own) => readSecrets(options, secretsFolder, own),
      );
      if (changed.length > 0) {
        await reload.reload(changed).catch((error: Error) => {
          log.warn('containers could not follow their hub’s link', { cause: error.message });
        });
      }
    },

    checkIpv6: createLostIpv6Check({ lifecycle, guard, log, told: toldOfLostIpv6, now }),

    // The gateway's address is the hub's inside the tunnel, so the engine must not give it away.
    gwAllocCheck: () => ({ SkipIPv4: false, SkipIPv6: false }),

    allocateNetwork({ NetworkID, Options, IPv4Data, IPv6Data }) {
      // On a manager the options are not wrapped as in CreateNetwork, and all are text. Seed files are the
      // nodes' affair: a manager may run no container, and then needs none.
      const request = { NetworkID, IPv4Data, IPv6Data, Options: { [GenericData]: Options } };
      refuseUnusable(networkOf(recordOf(request)));
      return {
        Options: Object.fromEntries(Object.entries(Options).map(([name, value]) => [name, String(value)])),
      };
    },

    // What allocateNetwork was told is in its answer alone.
    freeNetwork() {},

    async createNetwork(request) {
      const started = performance.now();
      const network = networkOf(recordOf(request));
      const ignored = passedOver(genericOptions(request.Options[GenericData]));
      if (!isOfSwarm(network)) {
        refuseMistakes(ignored);
      }
      refuseUnusable(network);
      refuseIpv6Of(network, hostAddresses(), hasIpv6);
      await hubLinks.completed(network);
      const secrets = await readSecrets(network.options, secretsFolder);
      const { configuration } = secrets;
      if (configuration !== undefined) {
        refuseUnfit(network, configuration);
        if (network.isOnePeer) {
          addressesOfFile(network, configuration, hasIpv6);
        }
      }
      const warnings = await networkWarnings(network, secrets, secretsFolder);
      const create = () => lifecycle.createNetwork(network);
      await (configuration?.privateKey === undefined
        ? create()
        : withNetworkKey(network, configuration.privateKey, create));
      log.info('network created', {
        network: network.networkId,
        ...subnetFields(network),
        ...(configuration && {
          mode: network.isOnePeer
            ? 'one container, which is the peer of the configuration file'
            : network.isShared
              ? 'containers that share the tunnel of the configuration file'
              : 'containers with derived keys and the peers of the configuration file',
          dns: configuration.dns.join(',') || undefined,
        }),
        ms: msSince(started),
      });
      for (const warning of [...warnings, ...ignoredWarnings(ignored)]) {
        log.warn(warning, { network: network.networkId });
      }
      void warnOfUnresolved(network, secrets);
    },

    async deleteNetwork({ NetworkID }) {
      const started = performance.now();
      toldOfDns.delete(NetworkID);
      toldOfLostIpv6.delete(NetworkID);
      if (await lifecycle.deleteNetwork(NetworkID)) {
        log.info('network deleted', { network: NetworkID, ms: msSince(started) });
      }
    },

    async createEndpoint(request) {
      const started = performance.now();
      const network = lifecycle.network(request.NetworkID);
      const own = decodeEndpointOptions(request.Options);
      const ignored = passedOverOfEndpoint(request.Options);
      // The engine keeps a container's options, and sends them at each of its starts.
      if (network.record.isOf01 !== true && !isOfSwarm(network)) {
        refuseMistakes(ignored);
      }
      const options = Object.fromEntries(ourOptions(request.Options));
      if (network.isShared) {
        refuseOwnLinkOptions(own);
      }
      const secrets = await readConfiguration(network.options, secretsFolder);
      const { given, answered, lacksIpv6 } = endpointAddresses(
        request,
        network,
        secrets.configuration,
        hasIpv6,
      );
      if (lacksIpv6 && !hasToldOfIpv6) {
        hasToldOfIpv6 = true;
        log.warn('this kernel has no IPv6, so containers get IPv4 alone', { network: network.networkId });
      }
      refuseSmallMtu(`option ${optionPrefix}mtu`, own.mtu, [...given, ...answered]);
      const endpoint: Endpoint = {
        endpointId: request.EndpointID,
        networkId: request.NetworkID,
        addresses: [...given, ...answered],
        ...(Object.keys(options).length > 0 && { options }),
        hasDnsServers: dnsServers(request.Options).length > 0,
      };
      if (network.options.killswitch === 'strict') {
        refuseForeignDns(request.Options, scopeOf(network, secrets));
      }
      await lifecycle.createEndpoint(endpoint);
      log.info('endpoint created', { ...fieldsOf(endpoint), ms: msSince(started) });
      for (const warning of [...endpointWarnings(request.Options), ...ignoredEndpointWarnings(ignored)]) {
        log.warn(warning, fieldsOf(endpoint));
      }
      return {
        Interface: Object.fromEntries(
          answered.map((prefix) => [
            prefix.address.kind() === 'ipv4' ? 'Address' : 'AddressIPv6',
            formatPrefix(prefix),
          ]),
        ),
      };
    },

    async deleteEndpoint({ EndpointID }) {
      const started = performance.now();
      const endpoint = await lifecycle.deleteEndpoint(EndpointID);
      if (endpoint !== undefined) {
        log.info('endpoint deleted', { ...fieldsOf(endpoint), ms: msSince(started) });
      }
    },

    endpointOperInfo: () => ({ Value: {} }),

    async join({ NetworkID, EndpointID, SandboxKey }) {
      const started = performance.now();
      const { endpoint, tunnel, link, protection } = await lifecycle.join(
        NetworkID,
        EndpointID,
        SandboxKey ?? '',
      );
      const isAsked = protection === 'protected' && endpoint.hasDnsServers === false;
      if (isAsked && !toldOfDns.has(NetworkID)) {
        toldOfDns.add(NetworkID);
        log.warn(dnsWarning, fieldsOf(endpoint));
      }
      log.info('link handed over', { ...fieldsOf(endpoint), link, ms: msSince(started) });
      const { options } = lifecycle.network(NetworkID);
      return {
        InterfaceName: { SrcName: link, DstPrefix: options.ifprefix ?? containerLinkPrefix },
        ...joinRoutes(tunnel.routes),
        DisableGatewayService: true,
      };
    },

    // The link is still in the container, and the engine brings it back for DeleteEndpoint.
    leave({ EndpointID }) {
      lifecycle.leave(EndpointID);
    },

    programExternalConnectivity() {},
    revokeExternalConnectivity() {},
    discoverNew() {},
    discoverDelete() {},
  };

  /** Of a network of an earlier driver, if the engine says now that it has none. */
  async function forgetIfLost(network: Network): Promise<boolean> {
    const isLost = inherited.has(network) && (await engineHas?.(network.networkId)) === false;
    return isLost && forgetNetwork(network);
  }

  async function forgetNetwork(seen: Network): Promise<boolean> {
    const isForgotten = await lifecycle.deleteLostNetwork(seen);
    if (isForgotten) {
      log.warn('forgot a network that Docker no longer has', { network: seen.networkId });
    }
    return isForgotten;
  }

  async function warnOfUnresolved(network: Network, secrets: TunnelSecrets): Promise<void> {
    for (const host of new Set(peersOf(network, secrets).flatMap(({ endpoint }) => endpoint?.host ?? []))) {
      const addresses = await hubNames.lookUp(host);
      const fields = { network: network.networkId, host };
      if (addresses === undefined) {
        log.warn(
          'the hub’s name does not resolve: containers start, but no traffic passes until it resolves',
          fields,
        );
      } else if (network.options.ipv6 !== undefined) {
        try {
          refuseOverlap(network.options.ipv6, addresses);
        } catch (error) {
          // Names may change: what it has in a network's life is not known when it is created.
          log.warn((error as Error).message, fields);
        }
      }
    }
  }

  /** A network may have been made by a driver that did not close IPv6 for its list, or its file may have changed since. */
  function warnOfClosedIpv6(networks: readonly Network[]): void {
    for (const network of networks) {
      const read = lifecycle.lastRead(network.networkId);
      // The log has told of a file that cannot be read.
      const isRead = network.options.conffile === undefined || read.configuration !== undefined;
      for (const warning of isRead ? ipv6Warnings(network, read) : []) {
        log.warn(warning, { network: network.networkId });
      }
    }
  }
}

function subnetFields({ subnets, internal }: Network) {
  return {
    subnet: subnets.map(({ pool }) => formatPrefix(pool)).join(','),
    internal: internal ? 'yes' : undefined,
  };
}
