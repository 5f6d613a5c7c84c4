import type { ArgumentReference, CommandReference } from '../../src/commands/reference.ts';

const seedFile: ArgumentReference = {
  name: 'seed-file',
  description: 'File that holds the driver’s seed; - is stdin',
  value: 'FILE',
  words: [],
  default: undefined,
  isRequired: false,
};

const format: ArgumentReference = {
  name: 'format',
  description: 'How it is printed: [raw] is bare keys',
  value: 'table|raw|json',
  words: ['table', 'raw', 'json'],
  default: 'table',
  isRequired: false,
};

const isPrivate: ArgumentReference = {
  name: 'private',
  description: 'Print private keys, for `wg pubkey`',
  value: undefined,
  words: [],
  default: undefined,
  isRequired: false,
};

const addresses: ArgumentReference = {
  name: 'addresses',
  description: 'Whose keys',
  value: 'ADDRESS…',
  words: [],
  default: undefined,
  isRequired: false,
};

const nothing = { positionals: [], options: [], subCommands: [], version: undefined };

/** A program of two commands, one of which has a command below it. */
export const example: CommandReference = {
  path: ['wgdriver'],
  description: 'Puts Docker containers on a WireGuard network',
  version: '1.2.3',
  positionals: [],
  options: [],
  subCommands: [
    {
      path: ['wgdriver', 'keys'],
      description: 'Derive the keys of addresses',
      version: undefined,
      positionals: [addresses],
      options: [seedFile, format, isPrivate],
      subCommands: [{ ...nothing, path: ['wgdriver', 'keys', 'seed'], description: 'Make a new seed' }],
    },
    {
      ...nothing,
      path: ['wgdriver', 'doctor'],
      description: 'Look at this host',
      options: [isPrivate, { ...format, value: 'text|svg', words: ['text', 'svg'] }],
    },
  ],
};
