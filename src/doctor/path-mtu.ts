import type { Container } from '../engine/api.ts';
import type { Engine } from '../engine/client.ts';
import { isDriver } from '../engine/managed-plugin.ts';
import { RequestError } from '../engine/request.ts';
import type { Place } from '../links/links.ts';
import { optionPrefix } from '../networks/options.ts';
import { run } from '../programs/run.ts';
import { type Address, parseAddress } from '../wireguard/address.ts';
import { linkName } from '../wireguard/link-name.ts';
import { minIpv6Mtu } from '../wireguard/mtu.ts';
import type { LinkStatus } from '../wireguard/status.ts';
import { configOf, isSharedTunnel } from './engine-survey.ts';
import { type Finding, fail, pass, skip, warn } from './finding.ts';

const name = 'mtu';

/** The least that every host has to take (RFC 791: 576 bytes), and the least of IPv6 (RFC 8200). */
const leastOf = { ipv4: 576, ipv6: minIpv6Mtu };

/** The header of IP without options, and that of an ICMP echo. */
const headersOf = { ipv4: 20 + 8, ipv6: 40 + 8 };

export interface PathOptions {
  /** Its name or id. */
  readonly container: string;
  /** The driver's name, as in `docker network create -d NAME`. */
  readonly driver: string;
  /** What answers pings behind the tunnel; absent is the hub. */
  readonly target?: Address | undefined;
}

/**
 * Measures the tunnels of a container, one for each network of the driver that it is on.
 * @throws Error if there is no such container
 */
export async function* examinePath(
  engine: Pick<Engine, 'container' | 'networks' | 'network'>,
  read: (place: Place) => Promise<LinkStatus | undefined>,
  { container: asked, driver, target }: PathOptions,
): AsyncGenerator<Finding> {
  const container = await containerOf(engine, asked);
  const networks = await engine.networks();
  const ours = new Map(
    networks.filter((network) => isDriver(network.driver, driver)).map((network) => [network.id, network]),
  );
  const endpoints = container.endpoints.filter(({ networkId }) => ours.has(networkId));
  if (container.sandboxKey === '' || endpoints.length === 0) {
    const cause = container.sandboxKey === '' ? 'does not run' : `is on no network of ${driver}`;
    yield fail(name, `${container.name} ${cause}`, 'name a running container that is on one');
  }
  for (const attachment of container.sandboxKey === '' ? [] : endpoints) {
    const { network, networkId, endpointId } = attachment;
    const subject = endpoints.length > 1 ? `${container.name} (${network})` : container.name;
    const { sandboxKey: sandbox } = container;
    const itself = ours.get(networkId);
    if (itself && isSharedTunnel(itself, configOf(itself, networks))) {
      yield skip(name, `${subject} shares a tunnel, and the path of a shared tunnel cannot be measured`);
      continue;
    }
    const link = await read({ name: linkName(endpointId), endpointId, sandbox });
    const hub =
      target ??
      parseAddress(attachment.gateway || attachment.gatewayIpv6 || (await gatewayOf(engine, network)));
    if (link?.mtu === undefined) {
      yield fail(name, `${subject} has no link`, 'restart the container');
    } else if (hub === undefined) {
      yield fail(name, `the address of ${network}’s hub in the tunnel is not known`, namePing);
    } else {
      const passes = pingThrough(sandbox, link.name, hub);
      const bytes = await largestPassing(passes, leastOf[hub.kind()], link.mtu);
      yield judgePath({ subject, network, container: container.name, hub, bytes, mtu: link.mtu });
    }
  }
}

const namePing = 'give an address behind the tunnel that answers pings: --ping ADDRESS';

async function containerOf(engine: Pick<Engine, 'container'>, asked: string): Promise<Container> {
  try {
    return await engine.container(asked);
  } catch (error) {
    if (error instanceof RequestError && error.status === 404) {
      throw new Error(`Docker has no container ${asked}; \`docker ps\` lists those that are running`);
    }
    throw error;
  }
}

/** Empty where the engine shows none: it shows a container's gateway only where all goes through the tunnel. */
async function gatewayOf(engine: Pick<Engine, 'network'>, network: string): Promise<string> {
  const { subnets } = await engine.network(network);
  return subnets.find(({ gateway }) => gateway !== '')?.gateway ?? '';
}

/**
 * The largest packet that passes, by halves; a smaller one than a packet that passes is taken to pass.
 * @returns undefined if not even the least one does
 */
export async function largestPassing(
  passes: (bytes: number) => Promise<boolean>,
  least: number,
  most: number,
): Promise<number | undefined> {
  if (await passes(most)) {
    return most;
  }
  if (least >= most || !(await passes(least))) {
    return undefined;
  }
  let [largest, tooLarge] = [least, most];
  while (tooLarge - largest > 1) {
    const middle = Math.floor((largest + tooLarge) / 2);
    if (await passes(middle)) {
      largest = middle;
    } else {
      tooLarge = middle;
    }
  }
  return largest;
}

/**
 * Sends pings out of a container, by programs of the host, that must not be split in the tunnel.
 * @returns whether one of a size came back. @throws Error if none could be sent
 */
export function pingThrough(sandbox: string, link: string, address: Address) {
  return async (bytes: number): Promise<boolean> => {
    const size = String(bytes - headersOf[address.kind()]);
    // Two, as one may be lost.
    const ping = ['ping', '-n', '-q', '-M', 'do', '-c', '2', '-i', '0.2', '-W', '1', '-I', link, '-s', size];
    const outcome = await run('nsenter', [`--net=${sandbox}`, ...ping, address.toString()]);
    if (!outcome.ok && !outcome.ending.endsWith('exit status 1')) {
      throw new Error(`the program ping, from iputils, is needed: ${outcome.cause}`);
    }
    return outcome.ok;
  };
}

interface MeasuredPath {
  readonly subject: string;
  readonly network: string;
  readonly container: string;
  readonly hub: Address;
  readonly bytes: number | undefined;
  readonly mtu: number;
}

export function judgePath({ subject, network, container, hub, bytes, mtu }: MeasuredPath): Finding {
  if (bytes === undefined) {
    return fail(name, `${subject}: ${hub.toString()} does not answer pings through the tunnel`, namePing);
  }
  if (bytes === mtu) {
    return pass(
      name,
      `${subject}: packets of ${mtu} bytes, the link’s MTU, reach ${hub.toString()} and come back`,
    );
  }
  const option = `${optionPrefix}mtu=${bytes}`;
  return warn(
    name,
    `${subject}: packets of up to ${bytes} bytes reach ${hub.toString()} and come back, and its link takes ${mtu}`,
    `create the network with -o ${option}, or for this container alone \`docker network connect --driver-opt ${option} ` +
      `${network} ${container}\``,
  );
}
