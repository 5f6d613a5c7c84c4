import { stat } from 'node:fs/promises';
import { shortSeedBytes } from '../keys/derivation.ts';
import { unheeded } from '../networks/conf-file.ts';
import { looksChosen, type Network } from '../networks/network.ts';
import { optionPrefix, type PassedOver, type SecretFile, secretFileOf } from '../networks/options.ts';
import { isIpv6Implied } from '../networks/scope.ts';
import type { TunnelSecrets } from '../networks/tunnel.ts';
import { PortMap } from '../plugin/netlabel.ts';
import { formatPrefix } from '../wireguard/address.ts';
import { Secret } from '../wireguard/secret.ts';

/** What works, but not as safely as it could, in a network that was just created. */
export async function networkWarnings(
  network: Network,
  { seed, configuration }: TunnelSecrets,
  secretsFolder: string,
): Promise<string[]> {
  const { options } = network;
  const warnings: string[] = configuration === undefined ? [] : unheeded(network, configuration);
  if (seed !== undefined && seed.reveal().length < shortSeedBytes) {
    warnings.push(
      `the seed has fewer than ${shortSeedBytes} bytes and could be guessed: \`wgdriver keys seed\` makes a good one`,
    );
  }
  const chosen = network.subnets.find(looksChosen);
  if (chosen !== undefined) {
    const changes = network.isShared
      ? 'the gateway that containers ask for names then has another address'
      : 'containers then get other addresses and other keys';
    warnings.push(
      `if Docker chose subnet ${formatPrefix(chosen.pool)}, it may choose another when the network is created ` +
        `again, and ${changes}: create the network with --subnet`,
    );
  }
  if (options.seed instanceof Secret) {
    warnings.push(
      `\`docker network inspect\` shows the seed: use ${optionPrefix}seedfile to keep it in a file`,
    );
  }
  warnings.push(...ipv6Warnings(network, { ...(configuration && { configuration }) }));
  for (const [what, option] of [
    ['seed', options.seed],
    ['preshared key', options.presharedKey],
    ['configuration', options.conffile],
  ] as const) {
    if (isFile(option)) {
      const file = secretFileOf(option, secretsFolder);
      if (((await stat(file)).mode & 0o077) !== 0) {
        warnings.push(`users other than root can read the ${what} file ${file}: run \`chmod 600 ${file}\``);
      }
    }
  }
  return warnings;
}

/** That IPv6 is closed, where a list of IPv4 prefixes alone closes it. */
export function ipv6Warnings(
  network: Network,
  secrets: Pick<TunnelSecrets, 'configuration'>,
): readonly string[] {
  const { killswitch, conffile } = network.options;
  if (killswitch === 'off' || !isIpv6Implied(network, secrets)) {
    return [];
  }
  const list =
    conffile === undefined
      ? `${optionPrefix}allowedips holds`
      : `the AllowedIPs of configuration file ${conffile.file} hold`;
  return [
    `${list} most of IPv4 and nothing of IPv6, so IPv6 may not leave through other networks either; to allow it, ` +
      `name the IPv6 prefixes that belong in the tunnel, and use ${optionPrefix}exclude for exceptions`,
  ];
}

/** Options of a network that the driver passes over. */
export function ignoredWarnings({ dockers, unknown }: PassedOver): string[] {
  return [...dockers.map((name) => `option ${name} has no effect on a network of this driver`), ...unknown];
}

/** Options of one container that the driver passes over. */
export function ignoredEndpointWarnings({ dockers, unknown }: PassedOver): string[] {
  return [
    ...dockers.map(
      (name) => `option ${name} has no effect on a single container: give it to \`docker network create\``,
    ),
    ...unknown,
  ];
}

function isFile(option: unknown): option is SecretFile {
  return typeof option === 'object' && option !== null && 'file' in option;
}

/** What a user asked of an endpoint that it cannot give. */
export function endpointWarnings(options: Readonly<Record<string, unknown>>): string[] {
  const ports = options[PortMap];
  return Array.isArray(ports) && ports.length > 0
    ? [
        'ports published with -p cannot be reached on this network: reach the container through the hub instead',
      ]
    : [];
}

/** Of a container whose namespace was there when it joined, as from engine 28 on; once for each network. */
export const dnsWarning =
  'this container has no DNS servers of its own, and Docker 28 and newer asks the host’s, past the tunnel: start ' +
  'it with --dns (compose: `dns:`), unless a network that it joined before has them. The log says so once per ' +
  'network; `wgdriver doctor` names every such container';
