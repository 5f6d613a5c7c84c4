import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileFault } from '../file-fault.ts';
import { derivePresharedKey, type KeyScheme } from '../keys/derivation.ts';
import { privateKeyIn, readPrivateKeyFile } from '../keys/key-files.ts';
import { type KeyPair, keyPairsOf, workersFor } from '../keys/key-pairs.ts';
import { hostsOf, isHostOf, maxAddresses, parseRange, requireMasked } from '../keys/ranges.ts';
import { countSelected, firstOf, isSelected, type Selection, selected } from '../keys/selection.ts';
import { ipv4In, ipv6Counterparts } from '../networks/ipv6.ts';
import { optionPrefix } from '../networks/options.ts';
import {
  type Address,
  type AddressRange,
  bits,
  covers,
  formatPrefix,
  hostPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
  sameAddress,
} from '../wireguard/address.ts';
import type { HubFile } from '../wireguard/config/hub.ts';
import { hubJson } from '../wireguard/config/json.ts';
import { hasKeptKey, hasKeptPresharedKey, type Kept, keptOf } from '../wireguard/config/kept.ts';
import { lostLines } from '../wireguard/config/lost-lines.ts';
import { netdev, network } from '../wireguard/config/networkd.ts';
import { wgQuick, wgSetconf } from '../wireguard/config/wg-quick.ts';
import type { Peer } from '../wireguard/device.ts';
import { type PresharedKey, type PrivateKey, publicKeyOf } from '../wireguard/key.ts';
import { everyValue, oneOf, strictCommand, UsageError, usage, wholeNumber } from './command.ts';
import { askForNetwork, type KnownNetwork, type KnownSubnet } from './engine-network.ts';
import { engineOption, secretsOption } from './host-options.ts';
import { ipv6Argument, ipv6Option } from './ipv6-option.ts';
import { keyOptions, keySchemeOf } from './key-options.ts';
import { openStdoutFault, print, refuseInput, replaceFile } from './output.ts';
import { withProgress } from './progress.ts';
import { outputFile, readStdin } from './stdin.ts';

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
      description:
        'Docker network to take the subnet, the seed and all else from; a Swarm’s manager knows its ' +
        'networks',
    },
    ...keyOptions,
    ...secretsOption,
    ...engineOption,
    address: {
      type: 'string',
      valueHint: 'ADDRESS',
      description:
        'The hub’s own address, one per subnet (Default: the network’s gateway, else the subnet’s first address)',
    },
    'listen-port': {
      type: 'string',
      valueHint: 'PORT',
      description: `The hub’s UDP port (Default: the network’s, else ${defaultListenPort})`,
    },
    'private-key-file': {
      type: 'string',
      valueHint: 'FILE',
      description:
        'File with the hub’s private key, as `wg genkey` prints it; - is stdin (Default: it is read on the hub)',
    },
    'hub-key-file': {
      type: 'string',
      valueHint: 'PATH',
      description:
        'Where wg-quick or networkd finds the key on the hub (Default: /etc/wireguard/INTERFACE.key and ' +
        '/etc/systemd/network/INTERFACE.key)',
    },
    peers: {
      type: 'string',
      valueHint: 'COUNT|RANGE,…',
      description:
        'Addresses that get a peer: the first N of the subnet, or ranges (Default: all except each --aux-address)',
    },
    except: {
      type: 'string',
      valueHint: 'RANGE,…',
      description: 'Addresses that get no peer, such as one that a laptop uses',
    },
    keep: {
      type: 'string',
      valueHint: 'FILE',
      description:
        'The hub’s current file, for wg-quick and setconf: everything in it that wgdriver did not ' +
        'write is kept',
    },
    ...ipv6Option,
    interface: {
      type: 'string',
      default: 'wg0',
      valueHint: 'NAME',
      description:
        'Name of the hub’s interface and so of its key file; wg-quick names the interface after its own file',
    },
    format: {
      type: 'string',
      default: 'wg-quick',
      valueHint: formats.join('|'),
      description: 'Which program reads the file',
    },
    output: {
      type: 'string',
      valueHint: 'FILE',
      description:
        'File to write, which only root can read; FILE.netdev and FILE.network for networkd (Default: -, stdout)',
    },
    subnets: {
      type: 'positional',
      required: false,
      valueHint: 'SUBNET…',
      description:
        'The network’s subnets, such as 192.168.5.0/24 (Default with --network: all of its subnets)',
    },
  },
  async run(args, positionals, rawArgs) {
    const format = oneOf('format', formats, args.format);
    const output = outputFile(args.output);
    const asked = positionals.map(subnetArgument);
    const interfaceName = interfaceNameOf(args.interface);
    if (args.keep !== undefined && format !== 'wg-quick' && format !== 'setconf') {
      throw new UsageError(
        'option --keep: expected --format wg-quick or setconf; networkd reads peers of yours from ' +
          `${interfaceName}.netdev.d/NAME.conf as well`,
      );
    }
    const known = args.network === undefined ? undefined : await askForNetwork(args, args.network, asked);
    if (known?.hublink !== undefined) {
      throw new Error(
        `network ${args.network}: its hub is the link ${known.hublink} on the Docker host itself, where the ` +
          'driver keeps the peers: no configuration is needed',
      );
    }
    const subnets = known?.subnets ?? asked.map((subnet) => ({ subnet, gateway: undefined }));
    if (subnets.length === 0) {
      throw new UsageError('no subnet: expected a prefix, such as 192.168.5.0/24, or --network');
    }
    refuseOverlap(subnets.map(({ subnet }) => subnet));
    const ipv6 = ipv6Argument(args) ?? known?.ipv6;
    const ownAddresses = hubAddresses(subnets, everyValue('address', rawArgs));
    const addresses = [
      ...ownAddresses,
      ...ownAddresses.flatMap((address) => ipv6Counterparts(ipv6, address)),
    ];
    const listenPort =
      args['listen-port'] === undefined
        ? (known?.peer?.port ?? defaultListenPort)
        : wholeNumber('listen-port', 1, 65535, args['listen-port']);
    const prefixes = subnets.map(({ subnet }) => subnet);
    const selection = selectionOf(
      prefixes,
      everyValue('peers', rawArgs),
      [
        ...ownAddresses.map(({ address }) => alone(address)),
        ...everyValue('except', rawArgs).map((text) => rangeArgument('except', text, prefixes)),
      ],
      known?.subnets.flatMap(({ auxiliaryAddresses }) => [...auxiliaryAddresses.values()]) ?? [],
    );
    const names = prefixes.map(formatPrefix).join(' ');
    const count = usage(() => countSelected(selection, names));
    if (count === 0) {
      throw new UsageError(`${names}: no address is left that could get a peer`);
    }
    const keyFile = args['private-key-file'];
    const privateKey = keyFile === undefined ? undefined : await privateKeyOf(keyFile);
    if (privateKey && known?.hubKey && publicKeyOf(privateKey) !== known.hubKey) {
      throw new Error(
        `private key file ${keyFile}: its public key is not the network’s ${optionPrefix}peerkey ${known.hubKey}, ` +
          'so containers would not reach this hub',
      );
    }
    const peerAt = (prefix: Prefix) =>
      prefix.length === bits(prefix.address) ? peerAddress(selection, ipv6, prefix) : undefined;
    const kept = (path: string) =>
      keptOfFile(path, {
        addresses,
        hasPrivateKey: privateKey !== undefined,
        peerAt,
        ...(args['listen-port'] === undefined ? { listenPort } : {}),
      });
    const keep = args.keep === undefined ? undefined : await kept(args.keep);
    const hubKeyFile =
      hubKeyFileOf(args['hub-key-file']) ??
      (format === 'json' && keyFile && keyFile !== '-' ? resolve(keyFile) : undefined);
    const hub: Omit<HubFile, 'peers'> = {
      comment: `wgdriver endpoint-config ${names}, ${count} peers`,
      interfaceName,
      addresses,
      listenPort,
      hasPresharedKeys: known?.presharedKey !== undefined,
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(hubKeyFile === undefined ? {} : { privateKeyFile: hubKeyFile }),
      ...(keep === undefined ? {} : { kept: keep }),
    };
    for (const { suffix } of output === undefined ? [] : filesOf(format, { ...hub, peers: [] })) {
      // Not what --keep names, which is there to be written anew.
      await refuseInput('--output', output + suffix, [args['seed-file'], keyFile, ...(known?.files ?? [])]);
    }
    if (output !== undefined && args.keep === undefined) {
      await (format === 'wg-quick' || format === 'setconf'
        ? refuseToOverwrite(output, kept)
        : refuseToLoseLines(output, format, hub, peerAt));
    }
    const scheme = known?.scheme ?? (await keySchemeOf(args));
    for (const warning of warningsOf(format, hub, known, output)) {
      process.stderr.write(`wgdriver: warning: ${warning}\n`);
    }
    const pairs = keyPairsOf(scheme, selected(selection), workersFor(count));
    // Where the peers themselves run down the terminal, a bar would be in their way.
    const hasBar = output !== undefined || !process.stdout.isTTY;
    const files = filesOf(format, {
      ...hub,
      peers: peersOf(hasBar ? withProgress(pairs, count) : pairs, scheme, known?.presharedKey, ipv6),
    });
    await write(files, output);
  },
});

async function privateKeyOf(file: string): Promise<PrivateKey> {
  return file === '-'
    ? privateKeyIn(await readStdin('the private key'), 'stdin')
    : readPrivateKeyFile(file, { pipe: true });
}

function warningsOf(
  format: Format,
  hub: Omit<HubFile, 'peers'>,
  known: KnownNetwork | undefined,
  output: string | undefined,
): string[] {
  const { interfaceName, privateKey, kept } = hub;
  const warnings: string[] = [];
  if (format === 'setconf' && privateKey === undefined && !hasKeptKey(kept)) {
    warnings.push(
      'this configuration has no private key, so `wg setconf` and `wg syncconf` remove the hub’s: follow them by ' +
        `\`wg set ${interfaceName} private-key FILE\`, or give --private-key-file`,
    );
  }
  if (known?.presharedKey !== undefined) {
    warnings.push(
      'the peers’ preshared keys are in this configuration, so it is secret: ' +
        (format === 'networkd'
          ? 'the .netdev file there must belong to root and the group systemd-network, with mode 0640'
          : 'copy it to the hub over a channel that nobody else can ' +
            `read${output === undefined ? ', and keep it in a file that only root can read' : ''}`),
    );
  }
  const secret = output === undefined ? secretIn(format, hub) : undefined;
  const fault = secret && openStdoutFault(secret);
  if (fault !== undefined) {
    warnings.push(`${fault}: use --output FILE`);
  }
  return warnings;
}

/** What is secret in a file; undefined if nothing is. */
function secretIn(
  format: Format,
  { privateKey, kept, hasPresharedKeys }: Omit<HubFile, 'peers'>,
): string | undefined {
  const hasKey = privateKey !== undefined || hasKeptKey(kept);
  if (hasKey && (format === 'wg-quick' || format === 'setconf')) {
    return 'a private key';
  }
  return hasPresharedKeys || hasKeptPresharedKey(kept) ? 'preshared keys' : undefined;
}

/** @throws Error that names the file, and the line in it */
async function keptOfFile(path: string, ours: Parameters<typeof keptOf>[1]): Promise<Kept> {
  const text = path === '-' ? await readStdin('the hub’s file') : await readText(path);
  return about(path === '-' ? 'stdin' : path, () => keptOf(text, ours));
}

/** @throws Error that names the file */
async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Error(`${path}: ${fileFault(error)}`);
  }
}

/** What goes wrong is of a file. */
function about<Result>(file: string, task: () => Result): Result {
  try {
    return task();
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
}

/** @throws Error if somebody has put something of their own into the file */
async function refuseToOverwrite(path: string, kept: (path: string) => Promise<Kept>): Promise<void> {
  if (!(await hasText(path))) {
    return;
  }
  const { interfaceLines, peers } = await kept(path);
  if (interfaceLines.length + peers.length > 0) {
    throw new Error(
      `${path}: it holds what wgdriver did not write (lines of [Interface]: ${interfaceLines.length}, peers: ` +
        `${peers.length}): give --keep ${path} to keep them, or delete the file first`,
    );
  }
}

/** The same for formats that nothing can be kept in. */
async function refuseToLoseLines(
  output: string,
  format: Format,
  hub: Omit<HubFile, 'peers'>,
  peerAt: Parameters<typeof lostLines>[2],
): Promise<void> {
  for (const { suffix, text } of filesOf(format, { ...hub, peers: [] })) {
    const path = output + suffix;
    if (!(await hasText(path))) {
      continue;
    }
    let header = '';
    for await (const part of text) {
      header += part;
    }
    const present = await readText(path);
    const [first, ...more] = about(path, () => lostLines(present, header, peerAt));
    if (first !== undefined) {
      throw new Error(
        `${path}: line ${first}${more.length === 0 ? '' : ` and ${more.length} others`} would be lost, because ` +
          'the new file does not have it: ' +
          (format === 'networkd'
            ? `move what is yours into ${path}.d/NAME.conf, which networkd reads as well, and delete ${path} first`
            : 'delete the file first'),
      );
    }
  }
}

async function hasText(path: string): Promise<boolean> {
  const present = await stat(path).catch(() => undefined);
  return present?.isFile() === true && present.size > 0;
}

interface ConfigFile {
  readonly suffix: string;
  readonly mode: number;
  readonly text: AsyncIterable<string>;
}

function filesOf(format: Format, hub: HubFile): ConfigFile[] {
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

/** The hub's address in each subnet: the one that was asked for, else the gateway, else the first. */
function hubAddresses(
  subnets: readonly Pick<KnownSubnet, 'subnet' | 'gateway'>[],
  texts: readonly string[],
): Prefix[] {
  const asked = texts.map((text) => {
    const address = parseAddress(text);
    if (address === undefined || !subnets.some(({ subnet }) => isHostOf(subnet, address))) {
      const names = subnets.map(({ subnet }) => formatPrefix(subnet)).join(' or ');
      throw new UsageError(`option --address: expected the address of a host in ${names}, got ${text}`);
    }
    return address;
  });
  return subnets.map(({ subnet, gateway }) => {
    const [address, second] = asked.filter((each) => isHostOf(subnet, each));
    if (second !== undefined) {
      throw new UsageError(`option --address: expected one for ${formatPrefix(subnet)}, got two`);
    }
    return { address: address ?? gateway ?? hostsOf(subnet).first, length: subnet.length };
  });
}

/** @throws UsageError where an address would be of two subnets */
function refuseOverlap(subnets: readonly Prefix[]): void {
  for (const [index, subnet] of subnets.entries()) {
    const other = subnets.slice(0, index).find((each) => covers(each, subnet) || covers(subnet, each));
    if (other !== undefined) {
      throw new UsageError(`${formatPrefix(subnet)} overlaps ${formatPrefix(other)}: expected subnets apart`);
    }
  }
}

function interfaceNameOf(text: string): string {
  if (!/^(?!\.\.?$)[A-Za-z0-9_=+.-]{1,15}$/.test(text)) {
    throw new UsageError('option --interface: expected 1 to 15 letters, digits and _=+.-');
  }
  return text;
}

/** wg-quick gives it to a shell. */
function hubKeyFileOf(text: string | undefined): string | undefined {
  if (text !== undefined && !/^\/[\w@%+=:,./-]+$/.test(text)) {
    throw new UsageError(
      'option --hub-key-file: expected an absolute path on the hub, of letters, digits and _@%+=:,./-',
    );
  }
  return text;
}

/** A range of which each end can be a container's address. */
function rangeArgument(option: string, text: string, subnets: readonly Prefix[]): AddressRange {
  const range = usage(() => parseRange(text, subnets));
  for (const end of [range.first, range.last]) {
    if (!subnets.some((subnet) => isHostOf(subnet, end))) {
      const names = subnets.map(formatPrefix).join(' or ');
      throw new UsageError(`option --${option}: ${end.toString()} is not the address of a host in ${names}`);
    }
  }
  return range;
}

/**
 * Which addresses get a peer.
 * @param without the hub's, and those that were named to be left out
 * @param auxiliary addresses of the network's that no container has: each only if it was asked for by itself
 */
function selectionOf(
  subnets: readonly Prefix[],
  texts: readonly string[],
  without: readonly AddressRange[],
  auxiliary: readonly Address[],
): Selection {
  const [first] = texts;
  if (texts.length === 1 && first !== undefined && /^\d+$/.test(first)) {
    const [subnet, ...more] = subnets;
    if (subnet === undefined || more.length > 0) {
      throw new UsageError(
        'option --peers: expected ranges, because a count does not say which of several ' +
          'subnets is meant',
      );
    }
    const all = [...without, ...auxiliary.map(alone)];
    const count = wholeNumber('peers', 1, Number(maxAddresses), first);
    const { range, found } = firstOf(hostsOf(subnet), count, all);
    wholeNumber('peers', 1, found, first);
    return { ranges: [range], without: all };
  }
  const ranges =
    texts.length === 0 ? subnets.map(hostsOf) : texts.map((text) => rangeArgument('peers', text, subnets));
  const isAsked = (address: Address) =>
    texts.some((text) => {
      const asked = parseAddress(text);
      return asked !== undefined && sameAddress(asked, address);
    });
  return { ranges, without: [...without, ...auxiliary.filter((address) => !isAsked(address)).map(alone)] };
}

/** The address of the peer that has a host's prefix: its own, or the IPv4 address that it goes with. */
function peerAddress(selection: Selection, ipv6: Prefix | undefined, host: Prefix): Address | undefined {
  const own = ipv6 !== undefined && covers(ipv6, host) ? ipv4In(host.address) : host.address;
  return isSelected(selection, own) ? own : undefined;
}

function alone(address: Address): AddressRange {
  return { first: address, last: address };
}

async function* peersOf(
  pairs: AsyncIterable<KeyPair>,
  scheme: KeyScheme,
  presharedKey: 'derived' | PresharedKey | undefined,
  ipv6: Prefix | undefined,
): AsyncGenerator<Peer> {
  for await (const { address, publicKey } of pairs) {
    const own = presharedKey === 'derived' ? derivePresharedKey(scheme, address) : presharedKey;
    const host = hostPrefix(address);
    yield {
      publicKey,
      ...(own && { presharedKey: own }),
      allowedIps: [host, ...ipv6Counterparts(ipv6, host)],
    };
  }
}
