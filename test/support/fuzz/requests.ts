import { Buffer } from 'node:buffer';
import { requestBytes } from '../engine-client.ts';
import { createNetworkRequest } from '../networks.ts';
import type { Random } from '../random.ts';
import { createMutator } from './mutate.ts';

export interface FuzzedRequest {
  readonly bytes: Buffer;
  /** Whole as HTTP: it is answered, and the next one may come behind it. Another may never be. */
  readonly isWhole: boolean;
}

/** Few, so that calls meet one another. */
const networkIds = ['n0', 'n1', 'n2'];
const endpointIds = ['e0', 'e1', 'e2', 'e3', 'e4', 'e5', 'e6', 'e7'];

/** A generator of requests: sound ones, and any number of ways in which they are not. */
export function createRequests(random: Random): () => FuzzedRequest {
  const mutator = createMutator(random);

  const endpoint = () => ({ NetworkID: random.pick(networkIds), EndpointID: random.pick(endpointIds) });
  const calls: Readonly<Record<string, () => unknown>> = {
    'Plugin.Activate': () => undefined,
    'NetworkDriver.GetCapabilities': () => undefined,
    'NetworkDriver.GwAllocCheck': () => ({ Options: {} }),
    'NetworkDriver.AllocateNetwork': () => createNetworkRequest({ id: random.pick(networkIds) }),
    'NetworkDriver.FreeNetwork': () => ({ NetworkID: random.pick(networkIds) }),
    'NetworkDriver.CreateNetwork': () => createNetworkRequest({ id: random.pick(networkIds) }),
    'NetworkDriver.DeleteNetwork': () => ({ NetworkID: random.pick(networkIds) }),
    'NetworkDriver.CreateEndpoint': () => ({
      ...endpoint(),
      Interface: { Address: `192.168.5.${random.below(8)}/24`, AddressIPv6: '', MacAddress: '' },
      Options: { 'com.docker.network.portmap': [] },
    }),
    'NetworkDriver.DeleteEndpoint': endpoint,
    'NetworkDriver.EndpointOperInfo': endpoint,
    'NetworkDriver.Join': () => ({ ...endpoint(), SandboxKey: '/var/run/docker/netns/x', Options: {} }),
    'NetworkDriver.Leave': endpoint,
    'NetworkDriver.ProgramExternalConnectivity': () => ({ ...endpoint(), Options: null }),
    'NetworkDriver.RevokeExternalConnectivity': endpoint,
    'NetworkDriver.DiscoverNew': () => ({
      DiscoveryType: 1,
      DiscoveryData: { Address: '10.0.0.1', Self: true },
    }),
    'NetworkDriver.DiscoverDelete': () => ({ DiscoveryType: 1, DiscoveryData: {} }),
  };
  const methods = Object.keys(calls);
  const lively = ['CreateNetwork', 'CreateEndpoint', 'Join', 'DeleteEndpoint'].map(
    (call) => `NetworkDriver.${call}`,
  );

  return () => {
    const method = random.percent(40) ? random.pick(lively) : random.pick(methods);
    const sound = calls[method]?.();
    const kind = random.below(100);
    if (kind < 15) {
      return whole(method, sound === undefined ? '' : JSON.stringify(sound));
    }
    if (kind < 75) {
      return whole(method, mutator.text(sound ?? {}));
    }
    if (kind < 85) {
      // No UTF-8, cut short, doubled, and the like; still with the right length.
      return whole(method, mutator.bytes(Buffer.from(JSON.stringify(sound ?? {}))));
    }
    if (kind < 90) {
      return whole(
        random.pick([`${method}/`, method.toLowerCase(), '..', '%00', `${method}?x=1`, '__proto__']),
        '{}',
      );
    }
    const bytes = whole(method, JSON.stringify(sound ?? {})).bytes;
    return { bytes: mutator.bytes(bytes), isWhole: false };
  };
}

function whole(path: string, body: string | Buffer): FuzzedRequest {
  const bytes = Buffer.from(body);
  const head = requestBytes(path, '').replace('Content-Length: 0', `Content-Length: ${bytes.length}`);
  return { bytes: Buffer.concat([Buffer.from(head), bytes]), isWhole: true };
}
