import { readSeedFile } from '../keys/seed-file.ts';
import type { Guard } from '../killswitch/guard.ts';
import { createLimit } from '../limit.ts';
import { LinkError, type Links, type NewLink } from '../links/links.ts';
import { type Log, msSince } from '../log.ts';
import { dnsServers, refuseForeignDns } from '../networks/dns.ts';
import { type Network, networkOf, recordOf, subnetOfAddress } from '../networks/network.ts';
import { defaultSecretsFolder, optionPrefix, ourOptions, seedFileOf } from '../networks/options.ts';
import { routing } from '../networks/routing.ts';
import { allowedIpsOf, peersOf, resolved, type Tunnel, tunnelOf } from '../networks/tunnel.ts';
import type { CreateEndpointRequest } from '../plugin/api.ts';
import type { Driver } from '../plugin/driver.ts';
import type { Endpoint, Store } from '../state/store.ts';
import { type Address, formatPrefix, parsePrefix, sameAddress } from '../wireguard/address.ts';
import type { Device } from '../wireguard/device.ts';
import { Secret } from '../wireguard/secret.ts';
import { containerLinkPrefix, linkName } from './names.ts';
import { createQueue } from './queue.ts';
import { createReconcile } from './reconcile.ts';
import { dnsWarning, endpointWarnings, networkWarnings } from './warnings.ts';

export interface DriverDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly guard: Guard;
  /** The address of a host name, or of an address itself. */
  readonly resolveHost: (host: string) => Promise<Address>;
  readonly log: Log;
  /** Who gives away the addresses of a network: each host its own (the default), or a Swarm's managers. */
  readonly scope?: Scope;
  /** What the relative paths of seed files are relative to. */
  readonly secretsFolder?: string;
  /** Milliseconds on a clock that only goes forward, by which reconcile waits. */
  readonly now?: () => number;
}

export interface WireGuardDriver extends Driver {
  /** Undoes what faults and kills have left behind (createReconcile); at the start, and now and then. */
  reconcile(): Promise<void>;
  /** Protects the containers that run already: their networks may have changed meanwhile, and will. */
  protectAll(): Promise<void>;
}

/**
 * Each keeps the kernel, and a thread or a program that waits for it, busy for tens of milliseconds. Containers that
 * start meanwhile come between them.
 */
export const removalsAtOnce = 3;

export const scopes = ['local', 'global'] as const;
export type Scope = (typeof scopes)[number];

/** The behaviour of the driver: WireGuard links for endpoints, remembered in a store. */
export function createDriver({
  store,
  links,
  guard,
  resolveHost,
  log,
  scope = 'local',
  secretsFolder = defaultSecretsFolder,
  now = () => performance.now(),
}: DriverDependencies): WireGuardDriver {
  // One endpoint's calls in order; different endpoints' beside one another. Who comes and goes in a
  // network is in order too, so that no two find the same address free.
  const inNetwork = createQueue();
  const inEndpoint = createQueue();
  const limited = createLimit(removalsAtOnce);
  const undeleted = new Set(
    store
      .allJoined()
      .filter(({ stage }) => stage === 'leaving')
      .map(({ endpointId }) => endpointId),
  );
  const undeletedNetworks = new Set<string>();
  /** Of endpoints that were created by this process: were DNS servers named? */
  const hasDns = new Map<string, boolean>();

  return {
    reconcile: createReconcile({
      store,
      links,
      log,
      inNetwork,
      inEndpoint,
      undeleted,
      undeletedNetworks,
      removeEndpoint,
      removeNetwork,
      now,
    }),

    async protectAll() {
      // All at once: a container is protected for all its networks or not at all.
      await Promise.all(
        store.allJoined().map(async ({ endpointId, sandbox, stage }) => {
          const network = guardedNetworkOf(endpointId);
          if (network === undefined || stage !== 'marked') {
            return;
          }
          try {
            await guard.protect(sandbox, endpointId, allowedIpsOf({ peers: peersOf(network) }));
          } catch (error) {
            log.error('a container could not be protected', { endpoint: endpointId, cause: String(error) });
          }
        }),
      );
    },

    // Containers on different hosts reach one another through the hub, whoever gives away their addresses; a
    // Swarm then tells all its nodes the names of services.
    getCapabilities: () => ({ Scope: scope, ConnectivityScope: 'global', GwAllocChecker: true }),

    // The gateway's address is the hub's inside the tunnel, so the engine must not give it away.
    gwAllocCheck: () => ({ SkipIPv4: false, SkipIPv6: false }),

    allocateNetwork({ NetworkID, Options, IPv4Data, IPv6Data }) {
      // On a manager the options are not wrapped as in CreateNetwork, and all are text. Seed files are the
      // nodes' affair: a manager may run no container, and then needs none.
      networkOf(
        recordOf({ NetworkID, IPv4Data, IPv6Data, Options: { 'com.docker.network.generic': Options } }),
      );
      return {
        Options: Object.fromEntries(Object.entries(Options).map(([name, value]) => [name, String(value)])),
      };
    },

    // What allocateNetwork was told is in its answer alone.
    freeNetwork() {},

    createNetwork: (request) =>
      inNetwork(request.NetworkID, async () => {
        const started = performance.now();
        const network = networkOf(recordOf(request));
        if (network.options.killswitch !== 'off') {
          await guard.probe().catch((error: Error) => {
            throw new Error(`${error.message}. Or create the network with -o ${optionPrefix}killswitch=off`);
          });
        }
        const warnings = await networkWarnings(network, await seedOf(network), secretsFolder);
        await store.putNetwork(network);
        undeletedNetworks.delete(network.networkId);
        log.info('network created', {
          network: network.networkId,
          ...subnetFields(network),
          ms: msSince(started),
        });
        for (const warning of warnings) {
          log.warn(warning, { network: network.networkId });
        }
      }),

    deleteNetwork: ({ NetworkID }) =>
      inNetwork(NetworkID, async () => {
        const started = performance.now();
        const known = store.network(NetworkID) !== undefined;
        await removeNetwork(NetworkID);
        if (known) {
          log.info('network deleted', { network: NetworkID, ms: msSince(started) });
        }
      }),

    createEndpoint: (request) =>
      inNetwork(request.NetworkID, () =>
        inEndpoint(request.EndpointID, async () => {
          const started = performance.now();
          const network = knownNetwork(request.NetworkID);
          const endpoint = { ...endpointOf(request, network), bootId: store.bootId };
          if (network.options.killswitch === 'strict') {
            refuseForeignDns(request.Options, allowedIpsOf({ peers: peersOf(network) }));
          }
          const known = store.endpoint(endpoint.endpointId);
          if (known !== undefined && known.networkId !== endpoint.networkId) {
            // Also, two of these that evicted one another would wait for one another.
            throw new Error(`endpoint ${endpoint.endpointId} is in network ${known.networkId} already`);
          }
          for (const address of endpoint.addresses) {
            const holder = store.endpointAt(endpoint.networkId, address.address);
            if (holder !== undefined && holder.endpointId !== endpoint.endpointId) {
              // The engine gave the address away again, so it has forgotten the holder, as after a crash. Two
              // links with one key would pull the hub to and fro.
              log.warn('a forgotten endpoint held the address', fieldsOf(holder));
              await inEndpoint(holder.endpointId, () => removeEndpoint(holder.endpointId));
            }
          }
          await store.putEndpoint(endpoint);
          undeleted.delete(endpoint.endpointId);
          hasDns.set(endpoint.endpointId, dnsServers(request.Options).length > 0);
          log.info('endpoint created', { ...fieldsOf(endpoint), ms: msSince(started) });
          for (const warning of endpointWarnings(request.Options)) {
            log.warn(warning, fieldsOf(endpoint));
          }
          return { Interface: {} };
        }),
      ),

    deleteEndpoint: ({ EndpointID }) =>
      inEndpoint(EndpointID, async () => {
        const started = performance.now();
        const endpoint = store.endpoint(EndpointID);
        await removeEndpoint(EndpointID);
        if (endpoint !== undefined) {
          log.info('endpoint deleted', { ...fieldsOf(endpoint), ms: msSince(started) });
        }
      }),

    endpointOperInfo: () => ({ Value: {} }),

    join: ({ NetworkID, EndpointID, SandboxKey }) =>
      inEndpoint(EndpointID, async () => {
        const started = performance.now();
        const network = knownNetwork(NetworkID);
        const endpoint = store.endpoint(EndpointID);
        if (endpoint === undefined || endpoint.networkId !== NetworkID) {
          throw new Error(`endpoint ${EndpointID} is not known in network ${NetworkID}`);
        }
        const tunnel = tunnelOf(network, endpoint.addresses, { seed: await seedOf(network) });
        const link = { name: linkName(EndpointID), mtu: tunnel.mtu, endpointId: EndpointID };
        const device = await resolve(tunnel);
        await makeLink(link, SandboxKey ?? '');
        try {
          await links.configure(link.name, device);
          if (network.options.killswitch !== 'off') {
            const outcome = await guard.protect(SandboxKey ?? '', EndpointID, allowedIpsOf(tunnel));
            if (outcome === 'unseen') {
              throw new Error(
                `${SandboxKey} is no network namespace to this driver, so the container’s traffic cannot be kept in ` +
                  'the tunnel; a driver with mounts of its own needs that folder as one with propagation (rslave)',
              );
            }
            if (outcome === 'protected' && hasDns.get(EndpointID) === false) {
              log.warn(dnsWarning, fieldsOf(endpoint));
            }
          }
        } catch (error) {
          await undoJoin(EndpointID);
          throw error;
        }
        log.info('link handed over', { ...fieldsOf(endpoint), link: link.name, ms: msSince(started) });
        return {
          InterfaceName: { SrcName: link.name, DstPrefix: containerLinkPrefix },
          ...routing(tunnel),
          DisableGatewayService: true,
        };
      }),

    // The link is still in the container, and the engine brings it back for DeleteEndpoint.
    leave() {},

    programExternalConnectivity() {},
    revokeExternalConnectivity() {},
    discoverNew() {},
    discoverDelete() {},
  };

  function knownNetwork(networkId: string): Network {
    const network = store.network(networkId);
    if (network === undefined) {
      throw new Error(
        `network ${networkId} is not known to this driver: its state is in another --state-dir, or could not ` +
          'be read at the start, which the log says. Remove it and create it again',
      );
    }
    return network;
  }

  /** Makes a link, so that a kill at any moment leaves a record by which what is there of it can be told. */
  async function makeLink(link: NewLink, sandbox: string): Promise<void> {
    const { endpointId } = link;
    // Left by a Join that was cut short, or somebody else's: then this refuses.
    await removeLink(endpointId);
    await store.beginJoin({ endpointId, sandbox });
    try {
      await links.create(link);
      await store.finishJoin(endpointId);
    } catch (error) {
      if (error instanceof LinkError && error.code === 'EEXIST') {
        // Somebody else was quicker to take the name: nothing was made.
        await store.removeJoined(endpointId);
      } else {
        await undoJoin(endpointId);
      }
      throw error;
    }
  }

  async function undoJoin(endpointId: string): Promise<void> {
    try {
      await removeLink(endpointId);
      await release(endpointId);
      await store.removeJoined(endpointId);
    } catch (cause) {
      log.warn('a half-made link could not be deleted', { cause: String(cause), link: linkName(endpointId) });
    }
  }

  async function removeLink(endpointId: string): Promise<void> {
    const isUnfinished = store.joined(endpointId)?.stage === 'begun';
    await (isUnfinished ? links.deleteUnfinished(linkName(endpointId)) : links.delete(linkName(endpointId)));
  }

  async function release(endpointId: string): Promise<void> {
    if (guardedNetworkOf(endpointId) !== undefined) {
      await guard.release(store.joined(endpointId)?.sandbox ?? '', endpointId);
    }
  }

  function guardedNetworkOf(endpointId: string): Network | undefined {
    const network = store.network(store.endpoint(endpointId)?.networkId ?? '');
    return network?.options.killswitch === 'off' ? undefined : network;
  }

  async function removeEndpoint(endpointId: string): Promise<void> {
    hasDns.delete(endpointId);
    if (store.endpoint(endpointId) !== undefined) {
      undeleted.add(endpointId);
    }
    await limited(() => removeNow(endpointId));
  }

  async function removeNow(endpointId: string): Promise<void> {
    try {
      await store.beginRemoval(endpointId);
    } catch (cause) {
      // It only matters if this process dies before the end.
      log.warn('a removal could not be recorded', { endpoint: endpointId, cause: String(cause) });
    }
    await removeLink(endpointId);
    // The engine must find the container as it was, and after a kill here the record tells what to make up for.
    await release(endpointId);
    await store.removeEndpoint(endpointId);
    undeleted.delete(endpointId);
    // An unfinished one is looked after until nobody can be making it any more.
    if (store.joined(endpointId)?.stage !== 'begun') {
      await store.removeJoined(endpointId);
    }
  }

  async function removeNetwork(networkId: string): Promise<void> {
    // The engine has forgotten it, whatever this answers.
    undeletedNetworks.add(networkId);
    // It deletes no network in use: an endpoint that is left is one it has forgotten.
    for (const { endpointId } of store.endpointsOf(networkId)) {
      await inEndpoint(endpointId, () => removeEndpoint(endpointId));
    }
    await store.removeNetwork(networkId);
    undeletedNetworks.delete(networkId);
  }

  async function seedOf({ options: { seed } }: Network): Promise<Secret> {
    return seed instanceof Secret ? seed : readSeedFile(seedFileOf(seed, secretsFolder));
  }

  async function resolve(tunnel: Tunnel): Promise<Device> {
    const hosts = new Set(tunnel.peers.flatMap(({ endpoint }) => endpoint?.host ?? []));
    const addresses = [...hosts].map(async (host) => [host, await resolveHost(host)] as const);
    return resolved(tunnel, new Map(await Promise.all(addresses)));
  }
}

/** @throws Error that says what the user must change */
function endpointOf(
  { NetworkID, EndpointID, Interface, Options }: CreateEndpointRequest,
  network: Network,
): Endpoint {
  const [option] = ourOptions(Options);
  if (option !== undefined) {
    throw new Error(
      `option ${optionPrefix}${option[0]} is not supported on an endpoint yet: give it to the network`,
    );
  }
  if (Interface?.MacAddress) {
    throw new Error('a WireGuard link has no MAC address: start the container without --mac-address');
  }
  if (Interface?.AddressIPv6) {
    throw new Error('IPv6 addresses are not supported yet: start the container without --ip6');
  }
  const address = parsePrefix(Interface?.Address ?? '');
  const subnet = address && subnetOfAddress(network, address);
  if (address === undefined || subnet === undefined) {
    throw new Error('Interface.Address: expected an IPv4 address of the network, with its prefix length');
  }
  if (sameAddress(address.address, subnet.gateway.address)) {
    throw new Error(`${address.address.toString()} is the hub’s address: choose another --ip`);
  }
  return { endpointId: EndpointID, networkId: NetworkID, addresses: [address] };
}

function fieldsOf({ networkId, endpointId, addresses }: Endpoint) {
  const address = addresses.map((own) => own.address.toString()).join(',');
  return { network: networkId, endpoint: endpointId, address };
}

function subnetFields({ subnets, internal }: Network) {
  return {
    subnet: subnets.map(({ pool }) => formatPrefix(pool)).join(','),
    internal: internal ? 'yes' : undefined,
  };
}
