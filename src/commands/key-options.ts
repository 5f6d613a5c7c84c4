import {
  type DerivationName,
  defaultAdditional,
  defaultDerivation,
  derivationNames,
  type KeyScheme,
  shortSeedBytes,
} from '../keys/derivation.ts';
import { parseSeed, seedExpectation } from '../keys/seed.ts';
import { readSeedFile } from '../keys/seed-file.ts';
import { base64Fault, decodeBase64 } from '../wireguard/base64.ts';
import type { Secret } from '../wireguard/secret.ts';
import { oneOf, UsageError } from './command.ts';
import { readStdin } from './stdin.ts';

/** The options of the commands that derive keys. */
export const keyOptions = {
  'seed-file': {
    type: 'string',
    valueHint: 'FILE',
    description: 'File with the seed in base64; - is stdin',
  },
  seed: {
    type: 'string',
    valueHint: 'BASE64',
    description:
      'The seed itself, which every user sees in the process list (Default: WGDRIVER_SEED, else stdin)',
  },
  additional: {
    type: 'string',
    default: defaultAdditional,
    valueHint: 'BASE64',
    description: 'The public value in base64 that you change to get new keys from the same seed',
  },
  derivation: {
    type: 'string',
    default: defaultDerivation,
    valueHint: derivationNames.join('|'),
    description: 'How keys are derived from seed, additional and address',
  },
} as const;

interface KeyArguments {
  readonly 'seed-file'?: string | undefined;
  readonly seed?: string | undefined;
  readonly additional: string;
  readonly derivation: string;
}

/** Everything that derives keys, from the options, WGDRIVER_SEED or stdin. @throws as seedOf does */
export async function keySchemeOf(args: KeyArguments): Promise<KeyScheme> {
  const derivation: DerivationName = oneOf('derivation', derivationNames, args.derivation);
  const additional = decodeBase64(args.additional);
  if (additional === undefined) {
    throw new UsageError(`option --additional: expected base64, but ${base64Fault(args.additional)}`);
  }
  const seed = await seedOf(args);
  warnIfShort(seed);
  return { seed, additional, derivation };
}

/** Says on stderr that a seed may be guessed, if it may. */
export function warnIfShort(seed: Secret): void {
  if (seed.reveal().length < shortSeedBytes) {
    process.stderr.write(
      `wgdriver: warning: the seed has fewer than ${shortSeedBytes} bytes and could be guessed: \`wgdriver keys ` +
        `seed\` makes a good one\n`,
    );
  }
}

/** The seed from the options, WGDRIVER_SEED or stdin. @throws Error; UsageError where the options are at fault */
export async function seedOf(args: Pick<KeyArguments, 'seed' | 'seed-file'>): Promise<Secret> {
  const file = args['seed-file'];
  if (file !== undefined && args.seed !== undefined) {
    throw new UsageError('expected either --seed or --seed-file, got both');
  }
  if (file !== undefined && file !== '-') {
    return readSeedFile(file, { pipe: true });
  }
  const [source, text] = await seedText(args.seed, file);
  const seed = parseSeed(text);
  if (seed === undefined) {
    const message = `${source}: ${seedExpectation(text)}`;
    // What is in a file, on stdin or in the environment is no argument.
    throw args.seed === undefined ? new Error(message) : new UsageError(message);
  }
  return seed;
}

async function seedText(
  option: string | undefined,
  file: string | undefined,
): Promise<[source: string, text: string]> {
  if (option !== undefined) {
    return ['option --seed', option];
  }
  if (file === undefined && process.env.WGDRIVER_SEED !== undefined) {
    return ['WGDRIVER_SEED', process.env.WGDRIVER_SEED];
  }
  if (file === undefined && process.stdin.isTTY) {
    throw new UsageError('no seed: give --seed-file FILE, set WGDRIVER_SEED, or write the seed to stdin');
  }
  return ['stdin', await readStdin('the seed')];
}
