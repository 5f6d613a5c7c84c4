import { GatewayError } from '../gateway/gateways.ts';
import type { Protected } from '../killswitch/killswitch.ts';
import { LinkError, type Links } from '../links/links.ts';
import type { UplinksTo } from '../links/uplink.ts';
import type { Network } from '../networks/network.ts';
import { isDefaultRouted } from '../networks/routing.ts';
import { type Tunnel, tunnelOf } from '../networks/tunnel.ts';
import type { Endpoint, Store } from '../state/store.ts';
import { linkName } from '../wireguard/link-name.ts';
import type { Configurations } from './configurations.ts';
import { fieldsOf } from './endpoint-states.ts';
import type { HubLinks } from './hub-links.ts';
import { mtuInBytes } from './hub-uplinks.ts';
import type { OwnKeys } from './own-keys.ts';
import type { Protections } from './protected-endpoints.ts';
import type { Removal } from './removal.ts';
import type { Resolve } from './resolve.ts';
import { endpointOptionsOf } from './secrets.ts';
import type { SharedContainers } from './shared-containers.ts';

export interface JoinDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly hubLinks: HubLinks;
  readonly configurations: Configurations;
  readonly ownKeys: OwnKeys;
  readonly protections: Protections;
  readonly sharedContainers: Pick<SharedContainers, 'connect'>;
  readonly removal: Removal;
  readonly resolve: Resolve;
  readonly uplinksTo: UplinksTo;
}

export interface HandedOver {
  readonly endpoint: Endpoint;
  readonly tunnel: Tunnel;
  readonly link: string;
  /** Undefined where the kill switch is off. */
  readonly protection: Protected | undefined;
}

/**
 * Makes an endpoint's link, for the engine to take, and protects the container. What fails is undone. Whoever calls sees
 * to it that nothing else is done with the endpoint meanwhile.
 * @param network with the peer that a hub on this host is
 */
export type Join = (network: Network, endpoint: Endpoint, sandbox: string) => Promise<HandedOver>;

export function createJoin({
  store,
  links,
  hubLinks,
  configurations,
  ownKeys,
  protections,
  sharedContainers,
  removal,
  resolve,
  uplinksTo,
}: JoinDependencies): Join {
  return async (network, endpoint, sandbox) => {
    const { endpointId } = endpoint;
    await protections.expect(network);
    const ownOptions = endpointOptionsOf(endpoint);
    const secrets = await configurations.readSecrets(network, ownOptions);
    const tunnel = tunnelOf(network, endpoint.addresses, secrets, ownOptions);
    let configure: (() => Promise<number | undefined>) | undefined;
    if (network.isShared) {
      const attach = await sharedContainers.connect(network, endpoint, tunnel, secrets);
      await makeLink(endpointId, sandbox, attach);
    } else {
      configure = await makeOwnLink(network, endpoint, tunnel, sandbox);
    }
    try {
      const linkIndex = await configure?.();
      const protection = await protections.protect(network, secrets, endpointId, sandbox, linkIndex);
      return { endpoint, tunnel, link: linkName(endpointId), protection };
    } catch (error) {
      await removal.undoJoin(endpointId);
      throw error;
    }
  };

  /** @returns what configures it, and answers its index where the default route is by it */
  async function makeOwnLink(network: Network, endpoint: Endpoint, tunnel: Tunnel, sandbox: string) {
    const { endpointId } = endpoint;
    const name = linkName(endpointId);
    const device = await resolve(fieldsOf(endpoint), tunnel);
    // Looked up while the Join is being recorded.
    const mtu = mtuInBytes(uplinksTo, tunnel.mtu, device);
    mtu.catch(() => {});
    const index = await makeLink(endpointId, sandbox, async () =>
      links.create({ name, mtu: await mtu, endpointId }),
    );
    return async () => {
      await ownKeys.withOwnKey(network, tunnel.privateKey, () => links.configure(name, device));
      await hubLinks.add(network, endpointId, tunnel);
      return isDefaultRouted(tunnel) ? index : undefined;
    };
  }

  /** Makes a link, so that a kill at any moment leaves a record by which what is there of it can be told. */
  async function makeLink<Made>(
    endpointId: string,
    sandbox: string,
    create: () => Promise<Made>,
  ): Promise<Made> {
    // Left by a Join that was cut short, or somebody else's: then this refuses.
    await removal.removeLink(endpointId);
    await store.beginJoin({ endpointId, sandbox });
    try {
      const made = await create();
      await store.finishJoin(endpointId);
      return made;
    } catch (error) {
      if ((error instanceof LinkError || error instanceof GatewayError) && error.code === 'EEXIST') {
        // Somebody else was quicker to take the name: nothing was made.
        await store.removeJoined(endpointId);
      } else {
        await removal.undoJoin(endpointId);
      }
      throw error;
    }
  }
}
