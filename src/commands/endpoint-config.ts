import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { derivePresharedKey, type KeyScheme } from '../keys/derivation.ts';
import { type KeyPair, keyPairsOf, workersFor } from '../keys/key-pairs.ts';
import { hostsOf, maxAddresses, parseRange, requireMasked } from '../keys/ranges.ts';
import { optionPrefix } from '../networks/options.ts';
import {
  type Address,
  type AddressRange,
  addressesOf,
  compareAddresses,
  countOf,
  covers,
  formatPrefix,
  hostPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
  sameAddress,
} from '../wireguard/address.ts';
import type { Hub } from '../wireguard/config/hub.ts';
import { hubJson } from '../wireguard/config/json.ts';
import { netdev, network, networkdKeyFile } from '../wireguard/config/networkd.ts';
import { wgQuick, wgSetconf } from '../wireguard/config/wg-quick.ts';
import type { Peer } from '../wireguard/device.ts';
import { type PresharedKey, type PrivateKey, parsePrivateKey, publicKeyOf } from '../wireguard/key.ts';
import { oneOf, strictCommand, UsageError, usage, wholeNumber } from './command.ts';
import { askForNetwork } from './engine-network.ts';
import { engineOption, secretsOption } from './host-options.ts';
import { keyOptions, keySchemeOf } from './key-options.ts';
import { print, replaceFile } from './output.ts';
import { withProgress } from './progress.ts';

const defaultListenPort = 51820;

const formats = ['wg-quick', 'setconf', 'networkd', 'json'] as const;
type Format = (typeof formats)[number];

export default strictCommand({
  meta: {
    name: 'endpoint-config',
    description: 'Write the hub’s configuration: a peer for each container of a subnet',
  },
  args: {
    network: {
      type: 'string',
      valueHint: 'NAME',
      description: 'Take subnet, seed and all else from this network of the engine, or of a Swarm’s manager',
    },
    ...keyOptions,
    ...secretsOption,
    ...engineOption,
    address: {
      type: 'string',
      valueHint: 'ADDRESS',
      description: 'The hub’s own address (Default: the network’s gateway, else the first of the subnet)',
    },
    'listen-port': {
      type: 'string',
      valueHint: 'PORT',
      description: `The hub’s UDP port (Default: the network’s, else ${defaultListenPort})`,
    },
    'private-key-file': {
      type: 'string',
      valueHint: 'FILE',
      description: 'The hub’s private key, as `wg genkey` wrote it',
    },
    peers: {
      type: 'string',
      valueHint: 'COUNT|RANGE',
      description: 'Which addresses get a peer: the first so many, or a range (Default: the whole subnet)',
    },
    interface: {
      type: 'string',
      default: 'wg0',
      valueHint: 'NAME',
      description: 'The hub’s interface, for networkd',
    },
    format: {
      type: 'string',
      default: 'wg-quick',
      valueHint: formats.join('|'),
      description: 'What the file is for',
    },
    output: {
      type: 'string',
      valueHint: 'FILE',
      description:
        'The file to write, for root alone; for networkd FILE.netdev and FILE.network (Default: stdout)',
    },
    subnet: {
      type: 'positional',
      required: false,
      valueHint: 'PREFIX',
      description: 'The network’s subnet, such as 192.168.5.0/24; with --network only if it has several',
    },
  },
  maxPositionals: 1,
  async run(args) {
    const format = oneOf('format', formats, args.format);
    const asked = args.subnet === undefined ? undefined : subnetArgument(args.subnet);
    const interfaceName = interfaceNameOf(args.interface);
    const known = args.network === undefined ? undefined : await askForNetwork(args, args.network, asked);
    const subnet = known?.subnet ?? asked;
    if (subnet === undefined) {
      throw new UsageError('no subnet: expected it as a prefix, such as 192.168.5.0/24, or --network');
    }
    const address = addressOf(args.address ?? known?.gateway?.toString(), subnet);
    const listenPort =
      args['listen-port'] === undefined
        ? (known?.listenPort ?? defaultListenPort)
        : wholeNumber('listen-port', 1, 65535, args['listen-port']);
    const { range, count } = peerRange(args.peers, subnet, address);
    const keyFile = args['private-key-file'];
    const privateKey = keyFile === undefined ? undefined : await readPrivateKey(keyFile);
    if (privateKey && known && publicKeyOf(privateKey) !== known.hubKey) {
      throw new Error(
        `private key file ${keyFile}: it does not belong to the network’s ${optionPrefix}peerkey ` +
          `${known.hubKey}, so containers would not reach this hub`,
      );
    }
    const scheme = known?.scheme ?? (await keySchemeOf(args));
    if (privateKey === undefined) {
      process.stderr.write(
        format === 'networkd'
          ? `wgdriver: warning: no --private-key-file, so the hub’s own key is looked for in ${networkdKeyFile(interfaceName)} there: ` +
              'put it there, readable for the group systemd-network (mode 0640)\n'
          : 'wgdriver: warning: no --private-key-file, so the hub’s own key is left out: give it there by ' +
              `\`wg set ${interfaceName} private-key FILE\`, and again after each setconf and syncconf, which take it away\n`,
      );
    }
    if (known?.presharedKey !== undefined) {
      process.stderr.write(
        'wgdriver: warning: the peers’ preshared keys are in this configuration, so it is secret: ' +
          (format === 'networkd'
            ? 'the .netdev file there is for root and the group systemd-network alone (chgrp, mode 0640)\n'
            : 'bring it to the hub by a way that nobody else sees\n'),
      );
    }
    const pairs = keyPairsOf(scheme, containersOf(range, count, address), workersFor(count));
    // Where the peers themselves run down the terminal, a bar would be in their way.
    const hasBar = args.output !== undefined || !process.stdout.isTTY;
    const files = filesOf(format, {
      comment: `wgdriver endpoint-config ${formatPrefix(subnet)}, ${count} peers`,
      interfaceName,
      address,
      subnet,
      listenPort,
      hasPresharedKeys: known?.presharedKey !== undefined,
      peers: peersOf(hasBar ? withProgress(pairs, count) : pairs, scheme, known?.presharedKey),
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(keyFile === undefined ? {} : { privateKeyFile: resolve(keyFile) }),
    });
    await write(files, args.output);
  },
});

interface ConfigFile {
  readonly suffix: string;
  readonly mode: number;
  readonly text: AsyncIterable<string>;
}

function filesOf(format: Format, hub: Hub): ConfigFile[] {
  switch (format) {
    case 'wg-quick':
      return [{ suffix: '', mode: 0o600, text: wgQuick(hub) }];
    case 'setconf':
      return [{ suffix: '', mode: 0o600, text: wgSetconf(hub) }];
    case 'json':
      return [{ suffix: '', mode: 0o600, text: hubJson(hub) }];
    case 'networkd':
      // systemd-networkd reads them as a user of its own, and they hold no secret but preshared keys.
      return [
        { suffix: '.netdev', mode: hub.hasPresharedKeys ? 0o640 : 0o644, text: netdev(hub) },
        { suffix: '.network', mode: 0o644, text: network(hub) },
      ];
  }
}

async function write(files: readonly ConfigFile[], output: string | undefined): Promise<void> {
  for (const { suffix, mode, text } of files) {
    if (output !== undefined) {
      await replaceFile(output + suffix, text, mode);
      continue;
    }
    if (files.length > 1) {
      process.stdout.write(`# ---- ${suffix}\n`);
    }
    await print(text);
  }
}

function subnetArgument(text: string): Prefix {
  const subnet = parsePrefix(text);
  if (subnet === undefined) {
    throw new UsageError(`${text}: expected the subnet as a prefix, such as 192.168.5.0/24`);
  }
  return usage(() => requireMasked(subnet));
}

function addressOf(text: string | undefined, subnet: Prefix): Address {
  const address = text === undefined ? hostsOf(subnet).first : parseAddress(text);
  if (address === undefined || !isHostOf(subnet, address)) {
    throw new UsageError(
      `option --address: expected an address for a host of ${formatPrefix(subnet)}, got ${text}`,
    );
  }
  return address;
}

function interfaceNameOf(text: string): string {
  if (!/^[A-Za-z0-9_=+.-]{1,15}$/.test(text)) {
    throw new UsageError('option --interface: expected 1 to 15 letters, digits and _=+.-');
  }
  return text;
}

/** The addresses that were asked for, and how many of them are peers: the hub may be among them. */
function peerRange(
  text: string | undefined,
  subnet: Prefix,
  hub: Address,
): { range: AddressRange; count: number } {
  const isCount = text !== undefined && /^\d+$/.test(text);
  const range = isCount ? hostsOf(subnet) : usage(() => parseRange(text ?? formatPrefix(subnet)));
  for (const end of [range.first, range.last]) {
    if (!isHostOf(subnet, end)) {
      throw new UsageError(
        `option --peers: ${end.toString()} is no host’s address in ${formatPrefix(subnet)}`,
      );
    }
  }
  const most = Math.min(Number(countOf(range)), Number(maxAddresses)) - (isWithin(range, hub) ? 1 : 0);
  return { range, count: isCount ? wholeNumber('peers', 1, most, text) : most };
}

/** The first so many addresses of a range, without the hub. */
function* containersOf(range: AddressRange, count: number, hub: Address): Generator<Address> {
  let left = count;
  for (const address of addressesOf(range)) {
    if (left === 0) {
      return;
    }
    if (!sameAddress(address, hub)) {
      left -= 1;
      yield address;
    }
  }
}

/** Neither outside of the subnet nor its network or broadcast address. */
function isHostOf(subnet: Prefix, address: Address): boolean {
  return covers(subnet, hostPrefix(address)) && isWithin(hostsOf(subnet), address);
}

function isWithin({ first, last }: AddressRange, address: Address): boolean {
  return compareAddresses(first, address) <= 0 && compareAddresses(address, last) <= 0;
}

async function readPrivateKey(path: string): Promise<PrivateKey> {
  const key = parsePrivateKey((await readFile(path, 'utf8')).trim());
  if (key === undefined) {
    throw new Error(`private key file ${path}: expected 32 bytes in base64, as \`wg genkey\` prints them`);
  }
  return key;
}

async function* peersOf(
  pairs: AsyncIterable<KeyPair>,
  scheme: KeyScheme,
  presharedKey: 'derived' | PresharedKey | undefined,
): AsyncGenerator<Peer> {
  for await (const { address, publicKey } of pairs) {
    const own = presharedKey === 'derived' ? derivePresharedKey(scheme, address) : presharedKey;
    yield { publicKey, ...(own && { presharedKey: own }), allowedIps: [hostPrefix(address)] };
  }
}
