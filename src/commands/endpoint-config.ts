import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { derivePrivateKey, type KeyScheme } from '../keys/derivation.ts';
import { hostsOf, parseRange, requireMasked } from '../keys/ranges.ts';
import {
  type Address,
  addressesOf,
  compareAddresses,
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
import { netdev, network } from '../wireguard/config/networkd.ts';
import { wgQuick, wgSetconf } from '../wireguard/config/wg-quick.ts';
import type { Peer } from '../wireguard/device.ts';
import { type PrivateKey, parsePrivateKey, publicKeyOf } from '../wireguard/key.ts';
import { oneOf, strictCommand, UsageError, usage, wholeNumber } from './command.ts';
import { keyOptions, keySchemeOf } from './key-options.ts';
import { withProgress } from './progress.ts';

const formats = ['wg-quick', 'setconf', 'networkd', 'json'] as const;
type Format = (typeof formats)[number];

export default strictCommand({
  meta: {
    name: 'endpoint-config',
    description: 'Write the hub’s configuration: a peer for each container of a subnet',
  },
  args: {
    ...keyOptions,
    address: {
      type: 'string',
      valueHint: 'ADDRESS',
      description: 'The hub’s own address (Default: the first of the subnet)',
    },
    'listen-port': { type: 'string', default: '51820', valueHint: 'PORT', description: 'The hub’s UDP port' },
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
      required: true,
      valueHint: 'PREFIX',
      description: 'The network’s subnet, such as 192.168.5.0/24',
    },
  },
  maxPositionals: 1,
  async run(args) {
    const format = oneOf('format', formats, args.format);
    const subnet = subnetOf(args.subnet);
    const address = addressOf(args.address, subnet);
    const listenPort = wholeNumber('listen-port', 1, 65535, args['listen-port']);
    const interfaceName = interfaceNameOf(args.interface);
    const addresses = peerAddresses(args.peers, subnet, address);
    const keyFile = args['private-key-file'];
    const privateKey = keyFile === undefined ? undefined : await readPrivateKey(keyFile);
    const scheme = await keySchemeOf(args);
    if (privateKey === undefined) {
      process.stderr.write('wgdriver: warning: no --private-key-file, so the hub’s own key is left out\n');
    }
    const peers = withProgress(addresses, (containerAddress) => peerOf(scheme, containerAddress));
    const files = filesOf(format, {
      comment: `wgdriver endpoint-config ${formatPrefix(subnet)}, ${peers.length} peers`,
      interfaceName,
      address,
      subnet,
      listenPort,
      peers,
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(keyFile === undefined ? {} : { privateKeyFile: resolve(keyFile) }),
    });
    await write(files, args.output);
  },
});

interface ConfigFile {
  readonly suffix: string;
  readonly mode: number;
  readonly text: string;
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
      // systemd-networkd reads them as a user of its own, and they hold no secret.
      return [
        { suffix: '.netdev', mode: 0o644, text: netdev(hub) },
        { suffix: '.network', mode: 0o644, text: network(hub) },
      ];
  }
}

async function write(files: readonly ConfigFile[], output: string | undefined): Promise<void> {
  for (const { suffix, mode, text } of files) {
    if (output === undefined) {
      process.stdout.write(files.length === 1 ? text : `# ---- ${suffix}\n${text}`);
    } else {
      await writeFileAtomic(output + suffix, text, { mode });
    }
  }
}

function subnetOf(text: string): Prefix {
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

function peerAddresses(text: string | undefined, subnet: Prefix, hub: Address): Address[] {
  const isCount = text !== undefined && /^\d+$/.test(text);
  const range = usage(() => parseRange(text === undefined || isCount ? formatPrefix(subnet) : text));
  for (const end of [range.first, range.last]) {
    if (!isHostOf(subnet, end)) {
      throw new UsageError(
        `option --peers: ${end.toString()} is no host’s address in ${formatPrefix(subnet)}`,
      );
    }
  }
  const addresses = [...addressesOf(range)].filter((address) => !sameAddress(address, hub));
  return isCount ? addresses.slice(0, wholeNumber('peers', 1, addresses.length, text)) : addresses;
}

/** Neither outside of the subnet nor its network or broadcast address. */
function isHostOf(subnet: Prefix, address: Address): boolean {
  const { first, last } = hostsOf(subnet);
  return (
    covers(subnet, hostPrefix(address)) &&
    compareAddresses(first, address) <= 0 &&
    compareAddresses(address, last) <= 0
  );
}

async function readPrivateKey(path: string): Promise<PrivateKey> {
  const key = parsePrivateKey((await readFile(path, 'utf8')).trim());
  if (key === undefined) {
    throw new Error(`private key file ${path}: expected 32 bytes in base64, as \`wg genkey\` prints them`);
  }
  return key;
}

function peerOf(scheme: KeyScheme, address: Address): Peer {
  return { publicKey: publicKeyOf(derivePrivateKey(scheme, address)), allowedIps: [hostPrefix(address)] };
}
