import { randomBytes } from 'node:crypto';
import { derivePrivateKey, type KeyScheme } from '../keys/derivation.ts';
import { keyPairsOf, workersFor } from '../keys/key-pairs.ts';
import { parseRange } from '../keys/ranges.ts';
import { type Address, type AddressRange, addressesOf, countOf } from '../wireguard/address.ts';
import { encodeBase64 } from '../wireguard/base64.ts';
import { oneOf, strictCommand, UsageError, usage } from './command.ts';
import { keyOptions, keySchemeOf } from './key-options.ts';
import { print } from './output.ts';

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
    await print(linesOf(format, scheme, ranges, args.private === true));
  },
});

interface Row {
  readonly address: string;
  readonly publicKey: string;
  readonly privateKey?: string;
}

async function* rowsOf(
  scheme: KeyScheme,
  ranges: readonly AddressRange[],
  withPrivate: boolean,
): AsyncGenerator<Row> {
  const count = ranges.reduce((sum, range) => sum + Number(countOf(range)), 0);
  for await (const pair of keyPairsOf(scheme, allOf(ranges), workersFor(count))) {
    yield {
      address: pair.address.toString(),
      publicKey: pair.publicKey,
      ...(withPrivate ? { privateKey: pair.privateKey.toBase64() } : {}),
    };
  }
}

function* allOf(ranges: readonly AddressRange[]): Generator<Address> {
  for (const range of ranges) {
    yield* addressesOf(range);
  }
}

/** The output in pieces, made as they are written: a /12 of keys does not wait for its last. */
async function* linesOf(
  format: Format,
  scheme: KeyScheme,
  ranges: readonly AddressRange[],
  withPrivate: boolean,
): AsyncGenerator<string> {
  if (format === 'raw' && withPrivate) {
    for (const address of allOf(ranges)) {
      yield `${derivePrivateKey(scheme, address).toBase64()}\n`;
    }
    return;
  }
  const rows = rowsOf(scheme, ranges, withPrivate);
  if (format === 'json') {
    let separator = '[\n  ';
    for await (const row of rows) {
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
  for await (const { address, publicKey, privateKey } of rows) {
    yield format === 'raw'
      ? `${publicKey}\n`
      : `${address.padEnd(width)}  ${publicKey}${privateKey === undefined ? '' : `  ${privateKey}`}\n`;
  }
}
