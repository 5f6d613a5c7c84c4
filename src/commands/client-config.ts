import { derivePresharedKey, derivePrivateKey } from '../keys/derivation.ts';
import { hostsOf, isHostOf } from '../keys/ranges.ts';
import { ipv6Counterparts } from '../networks/ipv6.ts';
import {
  type Address,
  everything,
  formatPrefix,
  hostPrefix,
  isOfHost,
  masked,
  type Prefix,
  parseAddress,
  parsePrefix,
  sameAddress,
} from '../wireguard/address.ts';
import { clientConfig } from '../wireguard/config/client.ts';
import { type HostPort, hostPortFault, parseHostPort } from '../wireguard/host-port.ts';
import { keyExpectation, type PublicKey, parsePublicKey, publicKeyOf } from '../wireguard/key.ts';
import { smallMtuFault } from '../wireguard/mtu.ts';
import { everyValue, strictCommand, UsageError, wholeNumber } from './command.ts';
import { askForNetwork, type KnownNetwork } from './engine-network.ts';
import { engineOption, secretsOption } from './host-options.ts';
import { ipv6Argument, ipv6Option } from './ipv6-option.ts';
import { keyOptions, keySchemeOf } from './key-options.ts';
import { openStdoutFault, refuseInput, replaceFile } from './output.ts';
import { qrAsPng, qrAsSvg, qrForTerminal } from './qr.ts';
import { outputFile } from './stdin.ts';

const defaultKeepalive = 25;

export default strictCommand({
  meta: {
    name: 'client-config',
    description: 'Write a configuration with which a laptop, phone or server joins a network',
  },
  args: {
    network: {
      type: 'string',
      valueHint: 'NAME',
      description:
        'Docker network to take the keys, the hub and all else from; in a Swarm, run this on a manager',
    },
    ...keyOptions,
    ...ipv6Option,
    ...secretsOption,
    ...engineOption,
    'hub-key': {
      type: 'string',
      valueHint: 'KEY',
      description: 'The hub’s public key; needed without --network, and for a network with a hublink',
    },
    endpoint: {
      type: 'string',
      valueHint: 'HOST:PORT',
      description: 'Where the client reaches the hub (Default: where the network’s containers reach it)',
    },
    'allowed-ips': {
      type: 'string',
      valueHint: 'PREFIX,…',
      description: 'What the client sends through the tunnel (Default: what the network’s containers send)',
    },
    dns: {
      type: 'string',
      valueHint: 'SERVER,…',
      description: 'The client’s DNS servers and search domains',
    },
    keepalive: {
      type: 'string',
      valueHint: 'SECONDS',
      description: 'Seconds between keepalives; 0 turns them off',
    },
    mtu: { type: 'string', valueHint: 'BYTES', description: 'The MTU of the client’s link' },
    qr: {
      type: 'boolean',
      description:
        'Draw a QR code for WireGuard’s apps to scan; --qr=FILE.png or --qr=FILE.svg writes a picture',
    },
    output: {
      type: 'string',
      valueHint: 'FILE',
      description: 'File to write, which only its owner can read (Default: -, stdout)',
    },
    address: {
      type: 'positional',
      required: false,
      valueHint: 'ADDRESS',
      description: 'The client’s address',
    },
  },
  maxPositionals: 1,
  optionalValues: ['qr'],
  async run(args, _positionals, rawArgs) {
    const address = addressArgument(args.address);
    const known = args.network === undefined ? undefined : await askForNetwork(args, args.network, []);
    if (known !== undefined) {
      refuseUnknownHub(known, args);
    }
    const hubKey = hubKeyOf(args['hub-key'], known?.hubKey, args.network);
    const endpoint = endpointOf(args.endpoint, known?.peer);
    const ipv6 = ipv6Argument(args) ?? known?.ipv6;
    const picture = pictureOf(rawArgs);
    if (known !== undefined) {
      refuseForeign(known, address, args.network ?? '');
    }
    const output = outputFile(args.output);
    const inputs = [args['seed-file'], ...(known?.files ?? [])];
    await refuseInput('--output', output, inputs);
    await refuseInput('--qr', picture?.file, inputs);
    const scheme = known?.scheme ?? (await keySchemeOf(args));
    const privateKey = derivePrivateKey(scheme, address);
    const presharedKey =
      known?.presharedKey === 'derived' ? derivePresharedKey(scheme, address) : known?.presharedKey;
    const own = hostPrefix(address);
    const mtu = args.mtu === undefined ? known?.mtu : wholeNumber('mtu', 576, 65535, args.mtu);
    const addresses = [own, ...ipv6Counterparts(ipv6, own)];
    const allowedIps = allowedIpsOf(everyValue('allowed-ips', rawArgs), known);
    if (mtu !== undefined) {
      const subject = args.mtu === undefined ? `network ${args.network}: mtu` : 'option --mtu';
      refuseSmallMtu(subject, mtu, addresses, allowedIps);
    }
    const text = clientConfig({
      comment: `wgdriver client-config ${address.toString()}`,
      privateKey,
      addresses,
      dns: everyValue('dns', rawArgs).map(dnsArgument),
      ...(mtu !== undefined && { mtu }),
      hub: {
        publicKey: hubKey,
        ...(presharedKey && { presharedKey }),
        endpoint,
        persistentKeepaliveInterval:
          args.keepalive === undefined
            ? (known?.keepalive ?? defaultKeepalive)
            : wholeNumber('keepalive', 0, 65535, args.keepalive),
        allowedIps,
      },
    });
    await write(text, output, picture);
    note(`the hub needs a peer with public key ${publicKeyOf(privateKey)} and address ${address.toString()}`);
  },
});

function addressArgument(text: string | undefined): Address {
  const address = parseAddress(text ?? '');
  if (address === undefined) {
    throw new UsageError('expected the client’s address as an argument, such as 192.168.5.9');
  }
  if (!isOfHost(address)) {
    throw new UsageError(`no client can have the ${address.range()} address ${address.toString()}`);
  }
  return address;
}

function dnsArgument(text: string): string {
  if (parseAddress(text) === undefined && !/^[\w.-]+$/.test(text)) {
    throw new UsageError('option --dns: expected addresses of servers and search domains');
  }
  return text;
}

function hubKeyOf(
  text: string | undefined,
  ofNetwork: PublicKey | undefined,
  network: string | undefined,
): PublicKey {
  if (text === undefined) {
    if (ofNetwork === undefined) {
      throw new UsageError(
        'expected --network, or --hub-key with the hub’s public key, as `wg pubkey` prints it',
      );
    }
    return ofNetwork;
  }
  const key = parsePublicKey(text);
  if (key === undefined) {
    throw new UsageError(`option --hub-key: ${keyExpectation('public', text)}`);
  }
  if (ofNetwork !== undefined && ofNetwork !== key) {
    throw new UsageError(
      `option --hub-key: the hub of network ${network} has another key, ${ofNetwork}: leave the option out`,
    );
  }
  return key;
}

function endpointOf(text: string | undefined, ofNetwork: HostPort | undefined): HostPort {
  const endpoint = text === undefined ? ofNetwork : parseHostPort(text);
  if (endpoint === undefined) {
    throw new UsageError(
      text === undefined
        ? 'expected --network, or --endpoint with host:port, such as vpn.example.org:51820'
        : `option --endpoint: expected host:port, such as vpn.example.org:51820; ${hostPortFault(text)}`,
    );
  }
  return endpoint;
}

function allowedIpsOf(texts: readonly string[], known: KnownNetwork | undefined): readonly Prefix[] {
  if (texts.length === 0) {
    return known?.allowedIps ?? everything;
  }
  return texts.map((text) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) {
      throw new UsageError('option --allowed-ips: expected prefixes, such as 192.168.5.0/24,10.0.0.0/8');
    }
    return masked(prefix);
  });
}

/** @throws UsageError for an MTU with which the client could have neither IPv6 addresses nor IPv6 routes */
function refuseSmallMtu(
  subject: string,
  mtu: number,
  addresses: readonly Prefix[],
  allowedIps: readonly Prefix[],
): void {
  const fault = smallMtuFault(mtu, [...addresses, ...allowedIps]);
  if (fault !== undefined) {
    const isOfRoutes = smallMtuFault(mtu, addresses) === undefined;
    throw new UsageError(
      `${subject}: ${fault}, got ${mtu}` +
        (isOfRoutes ? ': raise it with --mtu, or give --allowed-ips without IPv6 prefixes' : ''),
    );
  }
}

/** @throws UsageError where neither the network nor the options say which hub is meant */
function refuseUnknownHub(
  { hublink, hubKey, peer }: KnownNetwork,
  {
    network,
    'hub-key': key,
    endpoint,
  }: Readonly<Record<'network' | 'hub-key' | 'endpoint', string | undefined>>,
): void {
  if ((hubKey ?? key) !== undefined && (peer ?? endpoint) !== undefined) {
    return;
  }
  throw new UsageError(
    hublink === undefined
      ? `network ${network} has its hub in a configuration file: give --hub-key and --endpoint with the PublicKey ` +
          'and Endpoint of a [Peer] in it, and --allowed-ips unless the client sends everything'
      : `network ${network} has its hub on the Docker host itself: give --hub-key with what \`wg show ` +
          `${hublink} public-key\` prints there, and --endpoint with that host’s address and the link’s port`,
  );
}

/** @throws UsageError for an address that the network’s hub would not have a peer for */
function refuseForeign({ subnets }: KnownNetwork, address: Address, name: string): void {
  const subnet = subnets.find((known) => isHostOf(known.subnet, address));
  if (subnet === undefined) {
    const names = subnets.map((known) => formatPrefix(known.subnet)).join(' or ');
    throw new UsageError(
      `network ${name}: expected the address of a host in ${names}, got ${address.toString()}`,
    );
  }
  const hub = subnet.gateway ?? hostsOf(subnet.subnet).first;
  if (sameAddress(hub, address)) {
    throw new UsageError(`network ${name}: ${address.toString()} is the hub’s own address`);
  }
  if (![...subnet.auxiliaryAddresses.values()].some((reserved) => sameAddress(reserved, address))) {
    process.stderr.write(
      `wgdriver: warning: Docker may assign ${address.toString()} to a container too, which would then have the ` +
        'same key: create the network with --aux-address NAME=ADDRESS, or with an --ip-range that leaves the ' +
        `address out\n`,
    );
  }
}

interface Picture {
  readonly kind: 'terminal' | 'svg' | 'png';
  readonly file: string;
}

/** What `--qr` asks for; undefined if nothing. */
function pictureOf(rawArgs: readonly string[]): Picture | undefined {
  const option = rawArgs.find((argument) => argument === '--qr' || argument.startsWith('--qr='));
  if (option === undefined || option === '--qr=false') {
    return undefined;
  }
  // As wherever a file is named, - is stdout.
  if (option === '--qr' || option === '--qr=true' || option === '--qr=-') {
    return { kind: 'terminal', file: '' };
  }
  const file = option.slice('--qr='.length);
  const kind = /\.(svg|png)$/.exec(file)?.[1];
  if (kind !== 'svg' && kind !== 'png') {
    throw new UsageError(
      'option --qr: expected no value, - for stdout, or a file whose name ends in .png or .svg',
    );
  }
  return { kind, file };
}

/** A private key goes to the terminal, a pipe, or a file that its owner alone can read. */
async function write(text: string, output: string | undefined, picture: Picture | undefined): Promise<void> {
  if (output !== undefined) {
    await replaceFile(output, text, 0o600);
    note(`${output} holds a private key: its mode is 0600; give it to this client only`);
  }
  if (picture !== undefined && picture.kind !== 'terminal') {
    await replaceFile(picture.file, picture.kind === 'svg' ? qrAsSvg(text) : qrAsPng(text), 0o600);
    note(`${picture.file} shows a private key: its mode is 0600; give it to this client only`);
  }
  if (picture?.kind === 'terminal' || (output === undefined && picture === undefined)) {
    const fault = openStdoutFault('a private key');
    if (fault !== undefined) {
      throw new Error(`${fault}: use --output FILE`);
    }
    process.stdout.write(picture === undefined ? text : qrForTerminal(text));
    note('the output above holds a private key');
  }
}

function note(text: string): void {
  process.stderr.write(`wgdriver: ${text}\n`);
}
