import { readSecrets } from '../driver/secrets.ts';
import type { NetworkInspection } from '../engine/api.ts';
import { createEngine } from '../engine/client.ts';
import { RequestError } from '../engine/request.ts';
import { defaultAdditional, defaultDerivation, type KeyScheme } from '../keys/derivation.ts';
import {
  decodeNetworkOptions,
  givenOptions,
  type NetworkOptions,
  optionPrefix,
  ourOptions,
  secretFileOf,
  withPrefix,
} from '../networks/options.ts';
import { hubAllowedIps } from '../networks/tunnel.ts';
import {
  type Address,
  formatPrefix,
  masked,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../wireguard/address.ts';
import type { HostPort } from '../wireguard/host-port.ts';
import type { PresharedKey, PublicKey } from '../wireguard/key.ts';
import { UsageError } from './command.ts';
import { engineFault, engineSocketOf } from './host-options.ts';
import { seedOf, warnIfShort } from './key-options.ts';

/** What a hub has to know of a network. */
export interface KnownNetwork {
  readonly subnets: readonly KnownSubnet[];
  /** The link of its own host that is its hub. */
  readonly hublink?: string;
  /** Absent where the hub is such a link, or a configuration file has the peers; and so is the key. */
  readonly peer?: HostPort;
  readonly hubKey?: PublicKey;
  readonly scheme: KeyScheme;
  /** The files on this host that its secrets come from. */
  readonly files: readonly string[];
  /** What containers send into the tunnel. */
  readonly allowedIps: readonly Prefix[];
  /** Seconds. */
  readonly keepalive?: number;
  /** Bytes; absent if the network does not say. */
  readonly mtu?: number;
  /** What IPv6 addresses are made of from IPv4 ones; absent is none. */
  readonly ipv6?: Prefix;
  /** One of each address, or this one; absent is none. */
  readonly presharedKey?: 'derived' | PresharedKey;
}

export interface KnownSubnet {
  readonly subnet: Prefix;
  /** The hub's address in the subnet, where the engine shows one. */
  readonly gateway: Address | undefined;
  /** Addresses that the engine gives to no container, by their names. */
  readonly auxiliaryAddresses: ReadonlyMap<string, Address>;
}

interface NetworkArguments {
  readonly additional: string;
  readonly derivation: string;
  readonly seed?: string | undefined;
  readonly 'seed-file'?: string | undefined;
  readonly 'secrets-dir': string;
  readonly 'docker-socket'?: string | undefined;
}

/**
 * Asks the engine, or a Swarm's manager, for a network. All that makes keys is the network's; its seed file may be
 * elsewhere here.
 * @param asked subnets of it, all of them if there is none
 * @throws Error that says what the user must do
 */
export async function askForNetwork(
  args: NetworkArguments,
  name: string,
  asked: readonly Prefix[],
): Promise<KnownNetwork> {
  if (args.additional !== defaultAdditional || args.derivation !== defaultDerivation || args.seed) {
    throw new UsageError(
      '--seed, --additional and --derivation cannot be combined with --network, which has its own',
    );
  }
  const network = await inspect(engineSocketOf(args), name);
  const subnets = subnetsOf(network, asked);
  const options = optionsOf(network);
  const { peer, peerkey, derivation, ipv6, keepalive, hublink } = options;
  const ownSeed = args['seed-file'] === undefined ? undefined : await seedOf(args);
  const secrets = await readSecrets({ ...options, ...(ownSeed && { seed: ownSeed }) }, args['secrets-dir']);
  const { seed, additional, presharedKey } = secrets;
  if (seed === undefined) {
    throw new Error(
      `network ${name}: its key comes from a configuration file, so the other end is configured by whoever made ` +
        'that file',
    );
  }
  warnIfShort(seed);
  return {
    subnets,
    ...(hublink !== undefined && { hublink }),
    ...(hublink === undefined && peer && { peer }),
    ...(peerkey && { hubKey: peerkey }),
    scheme: { seed, additional, derivation },
    files: [options.seed, options.additional, options.presharedKey, options.conffile].flatMap((source) =>
      typeof source === 'object' && 'file' in source ? [secretFileOf(source, args['secrets-dir'])] : [],
    ),
    allowedIps: hubAllowedIps({
      options,
      internal: network.isInternal,
      subnets: subnets.map(({ subnet }) => ({ pool: subnet })),
    }),
    ...(keepalive !== undefined && { keepalive }),
    ...(typeof options.mtu === 'number' && { mtu: options.mtu }),
    ...(ipv6 && { ipv6 }),
    ...(presharedKey && { presharedKey }),
  };
}

/**
 * A network that was created from a `--config-only` one has options and subnet of its own only where a
 * container is on it, so else the other is asked for.
 */
async function inspect(socketPath: string, name: string): Promise<NetworkInspection> {
  const engine = createEngine(socketPath);
  const ask = (asked: string) => engine.network(asked).catch(explained(socketPath, asked));
  const network = await ask(name);
  if (ourOptions(network.options).length > 0) {
    return network;
  }
  if (network.configFrom === '') {
    throw new Error(
      `network ${name} is not one of wgdriver’s: it has no ${optionPrefix}* options, and its driver ` +
        `is ${network.driver}`,
    );
  }
  return ask(network.configFrom).catch((error: Error) => {
    throw new Error(
      `network ${name} takes its options from the --config-only network ${network.configFrom}: ${error.message}; ` +
        'run this on a node that has it',
    );
  });
}

function optionsOf({ name, options }: NetworkInspection): NetworkOptions {
  try {
    return decodeNetworkOptions(withPrefix(givenOptions(options)));
  } catch (error) {
    throw new Error(`network ${name}: ${(error as Error).message}`);
  }
}

function subnetsOf({ name, subnets }: NetworkInspection, asked: readonly Prefix[]): KnownSubnet[] {
  const present = subnets.flatMap(({ subnet, gateway, auxiliaryAddresses }) => {
    const prefix = parsePrefix(subnet);
    const auxiliary = Object.entries(auxiliaryAddresses).flatMap(([key, text]) => {
      const address = parseAddress(text);
      return address === undefined ? [] : [[key, address] as const];
    });
    return prefix === undefined
      ? []
      : // The engine takes a subnet with host bits, and means the whole of it.
        [{ subnet: masked(prefix), gateway: parseAddress(gateway), auxiliaryAddresses: new Map(auxiliary) }];
  });
  const isAsked = ({ subnet }: KnownSubnet) =>
    asked.length === 0 || asked.some((prefix) => formatPrefix(prefix) === formatPrefix(subnet));
  const found = present.filter(isAsked);
  if (found.length < Math.max(asked.length, 1)) {
    const names = present.map(({ subnet }) => formatPrefix(subnet)).join(', ') || 'none';
    throw new UsageError(
      `network ${name}: expected some of its subnets as arguments, or none for all of them; it has ${names}`,
    );
  }
  return found;
}

function explained(socketPath: string, name: string) {
  return (error: unknown): never => {
    if (error instanceof RequestError && error.status === 404) {
      throw new Error(`Docker has no network ${name}; \`docker network ls\` lists the networks`);
    }
    throw engineFault(socketPath, error);
  };
}
