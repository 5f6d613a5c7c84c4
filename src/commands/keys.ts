import { randomBytes } from 'node:crypto';
import { derivePrivateKey, type KeyScheme } from '../keys/derivation.ts';
import { parseRange } from '../keys/ranges.ts';
import { type Address, type AddressRange, addressesOf } from '../wireguard/address.ts';
import { encodeBase64 } from '../wireguard/base64.ts';
import { publicKeyOf } from '../wireguard/key.ts';
import { oneOf, strictCommand, UsageError, usage } from './command.ts';
import { keyOptions, keySchemeOf } from './key-options.ts';

const formats = ['table', 'raw', 'json'] as const;
type Format = (typeof formats)[number];

/** As many bytes as the keys that come of it have. */
const seedBytes = 32;

export default strictCommand({
  meta: {
    name: 'keys',
    description:
      'Derive the keys of addresses, prefixes (192.168.5.0/24) and ranges (A-B); `keys seed` makes a new seed',
  },
  args: {
    ...keyOptions,
    private: {
      type: 'boolean',
      description: 'Print private keys, for `wg pubkey` or a file; they are secret',
    },
    format: {
      type: 'string',
      valueHint: formats.join('|'),
      description: 'raw is bare keys, one a line (Default: table on a terminal, else raw)',
    },
    addresses: { type: 'positional', required: false, valueHint: '…', description: 'Whose keys; or `seed`' },
  },
  async run(args, addresses) {
    if (addresses.length === 1 && addresses[0] === 'seed') {
      process.stdout.write(`${encodeBase64(randomBytes(seedBytes))}\n`);
      return;
    }
    const format = oneOf('format', formats, args.format ?? (process.stdout.isTTY ? 'table' : 'raw'));
    if (addresses.length === 0) {
      throw new UsageError('no address: expected one or more addresses, prefixes or ranges, or `seed`');
    }
    const ranges = addresses.map((text) => usage(() => parseRange(text)));
    const scheme = await keySchemeOf(args);
    for (const line of linesOf(format, scheme, ranges, args.private === true)) {
      process.stdout.write(line);
    }
  },
});

interface Row {
  readonly address: string;
  readonly publicKey: string;
  readonly privateKey?: string;
}

function* rowsOf(scheme: KeyScheme, ranges: readonly AddressRange[], withPrivate: boolean): Generator<Row> {
  for (const range of ranges) {
    for (const address of addressesOf(range)) {
      yield rowOf(scheme, address, withPrivate);
    }
  }
}

function rowOf(scheme: KeyScheme, address: Address, withPrivate: boolean): Row {
  const privateKey = derivePrivateKey(scheme, address);
  return {
    address: address.toString(),
    publicKey: publicKeyOf(privateKey),
    ...(withPrivate ? { privateKey: privateKey.toBase64() } : {}),
  };
}

/** The output in pieces, made as they are written: a /12 of keys does not wait for its last. */
function* linesOf(
  format: Format,
  scheme: KeyScheme,
  ranges: readonly AddressRange[],
  withPrivate: boolean,
): Generator<string> {
  const rows = rowsOf(scheme, ranges, withPrivate);
  if (format === 'json') {
    let separator = '[\n  ';
    for (const row of rows) {
      yield separator + JSON.stringify(row);
      separator = ',\n  ';
    }
    yield '\n]\n';
    return;
  }
  const width = Math.max(...ranges.map(({ last }) => last.toString().length), 'ADDRESS'.length);
  if (format === 'table') {
    yield `${'ADDRESS'.padEnd(width)}  ${'PUBLIC KEY'.padEnd(44)}${withPrivate ? '  PRIVATE KEY' : ''}\n`;
  }
  for (const { address, publicKey, privateKey } of rows) {
    yield format === 'raw'
      ? `${privateKey ?? publicKey}\n`
      : `${address.padEnd(width)}  ${publicKey}${privateKey === undefined ? '' : `  ${privateKey}`}\n`;
  }
}
