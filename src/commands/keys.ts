import { randomBytes } from 'node:crypto';
import { derivePresharedKey, derivePrivateKey, type KeyScheme } from '../keys/derivation.ts';
import { keyPairsOf, workersFor } from '../keys/key-pairs.ts';
import { parseRange } from '../keys/ranges.ts';
import { type Address, type AddressRange, addressesOf, countOf } from '../wireguard/address.ts';
import { encodeBase64 } from '../wireguard/base64.ts';
import { oneOf, strictCommand, UsageError, usage } from './command.ts';
import { keyOptions, keySchemeOf } from './key-options.ts';
import { openStdoutFault, print } from './output.ts';
import { withProgress } from './progress.ts';

const formats = ['table', 'raw', 'json'] as const;
type Format = (typeof formats)[number];

/** As many bytes as the keys that come of it have. */
const seedBytes = 32;

const seed = strictCommand({
  meta: { name: 'seed', description: 'Make a new seed, 32 random bytes in base64' },
  args: {},
  maxPositionals: 0,
  run() {
    warnIfOpen('a seed');
    process.stdout.write(`${encodeBase64(randomBytes(seedBytes))}\n`);
  },
});

export default strictCommand({
  meta: {
    name: 'keys',
    description: 'Derive the keys of addresses, prefixes (192.168.5.0/24) and ranges (A-B)',
  },
  args: {
    ...keyOptions,
    private: {
      type: 'boolean',
      description: 'Print private keys, as `wg genkey` would; keep them secret',
    },
    preshared: {
      type: 'boolean',
      description: 'Print preshared keys, as `wg genpsk` would; keep them secret',
    },
    format: {
      type: 'string',
      valueHint: formats.join('|'),
      description: 'raw prints bare keys, one per line (Default: table on a terminal, else raw)',
    },
    addresses: {
      type: 'positional',
      required: false,
      valueHint: 'ADDRESS…',
      description: 'Addresses to derive keys for',
    },
  },
  subCommands: { seed },
  async run(args, addresses) {
    const format = oneOf('format', formats, args.format ?? (process.stdout.isTTY ? 'table' : 'raw'));
    if (addresses.length === 0) {
      throw new UsageError('no address: expected one or more addresses, prefixes or ranges');
    }
    const secrets = { privateKey: args.private === true, presharedKey: args.preshared === true };
    if (format === 'raw' && secrets.privateKey && secrets.presharedKey) {
      throw new UsageError(
        'raw output has one key per line: choose either --private or --preshared, or use --format table or json',
      );
    }
    const ranges = addresses.map((text) => usage(() => parseRange(text)));
    const scheme = await keySchemeOf(args);
    if (secrets.privateKey || secrets.presharedKey) {
      warnIfOpen(secrets.privateKey ? 'private keys' : 'preshared keys');
    }
    await print(linesOf(format, scheme, ranges, secrets));
  },
});

/** Says so where others could read what goes to stdout; scripts of 0.1 write such files, so it is not refused. */
function warnIfOpen(secret: string): void {
  const fault = openStdoutFault(secret);
  if (fault !== undefined) {
    process.stderr.write(
      `wgdriver: warning: ${fault}: \`chmod 600\` it, and run \`umask 077\` before you write the next\n`,
    );
  }
}

/** Which secret keys are printed beside an address. */
interface Secrets {
  readonly privateKey: boolean;
  readonly presharedKey: boolean;
}

interface Row {
  readonly address: string;
  readonly publicKey: string;
  readonly privateKey?: string;
  readonly presharedKey?: string;
}

async function* rowsOf(
  scheme: KeyScheme,
  ranges: readonly AddressRange[],
  secrets: Secrets,
): AsyncGenerator<Row> {
  const count = ranges.reduce((sum, range) => sum + Number(countOf(range)), 0);
  const pairs = keyPairsOf(scheme, allOf(ranges), workersFor(count));
  // On a terminal the keys themselves show how far it is.
  const shown = process.stdout.isTTY ? pairs : withProgress(pairs, count);
  for await (const { address, publicKey, privateKey } of shown) {
    yield {
      address: address.toString(),
      publicKey,
      ...(secrets.privateKey ? { privateKey: privateKey.toBase64() } : {}),
      ...(secrets.presharedKey ? { presharedKey: derivePresharedKey(scheme, address).toBase64() } : {}),
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
  secrets: Secrets,
): AsyncGenerator<string> {
  if (format === 'raw' && (secrets.privateKey || secrets.presharedKey)) {
    // Neither takes a public key, which is what costs time.
    const derive = secrets.privateKey ? derivePrivateKey : derivePresharedKey;
    for (const address of allOf(ranges)) {
      yield `${derive(scheme, address).toBase64()}\n`;
    }
    return;
  }
  const rows = rowsOf(scheme, ranges, secrets);
  if (format === 'json') {
    let separator = '[\n  ';
    for await (const row of rows) {
      yield separator + JSON.stringify(row);
      separator = ',\n  ';
    }
    yield '\n]\n';
    return;
  }
  if (format === 'raw') {
    for await (const { publicKey } of rows) {
      yield `${publicKey}\n`;
    }
    return;
  }
  const width = Math.max(...ranges.map(({ last }) => last.toString().length), 'ADDRESS'.length);
  const line = (cells: readonly (string | undefined)[]) =>
    `${cells.filter((cell) => cell !== undefined).join('  ')}\n`;
  yield line([
    'ADDRESS'.padEnd(width),
    'PUBLIC KEY'.padEnd(44),
    secrets.privateKey ? 'PRIVATE KEY'.padEnd(secrets.presharedKey ? 44 : 0) : undefined,
    secrets.presharedKey ? 'PRESHARED KEY' : undefined,
  ]);
  for await (const { address, publicKey, privateKey, presharedKey } of rows) {
    yield line([address.padEnd(width), publicKey, privateKey, presharedKey]);
  }
}
