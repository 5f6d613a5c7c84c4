import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { helpText } from '../../src/commands/help.ts';
import { example } from '../release/example.ts';

const plain = (...args: Parameters<typeof helpText>) => stripVTControlCharacters(helpText(...args));

test('the page of a program of commands', () => {
  assert.equal(
    plain(example, 80),
    `Puts Docker containers on a WireGuard network (wgdriver 1.2.3)

USAGE
  wgdriver COMMAND

COMMANDS
  keys                        Derive the keys of addresses
  doctor                      Look at this host

OPTIONS
  --help                      Print this help
  --version                   Print the version

\`wgdriver COMMAND --help\` says more about a command.`,
  );
});

test('the page of a command that takes arguments, or another command, on a narrow terminal', () => {
  const [keys] = example.subCommands;
  assert(keys);
  const derivation = {
    name: 'derivation',
    description: 'How keys are derived',
    value: 'sha3-256|keccak-256',
    words: ['sha3-256', 'keccak-256'],
    default: 'sha3-256',
    isRequired: false,
  };
  assert.equal(
    plain({ ...keys, options: [derivation, ...keys.options] }, 50),
    `Derive the keys of addresses

USAGE
  wgdriver keys [OPTIONS] [ADDRESS…]
  wgdriver keys COMMAND

COMMANDS
  seed                        Make a new seed

ARGUMENTS
  [ADDRESS…]                  Whose keys

OPTIONS
  --derivation=sha3-256|keccak-256
                              How keys are derived
                              (Default: sha3-256)
  --seed-file=FILE            File that holds the
                              driver’s seed; - is
                              stdin
  --format=table|raw|json     How it is printed:
                              [raw] is bare keys
                              (Default: table)
  --private                   Print private keys,
                              for \`wg pubkey\`
  --help                      Print this help

\`wgdriver keys COMMAND --help\` says more about a
command.`,
  );
});
