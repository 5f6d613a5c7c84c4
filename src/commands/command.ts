import {
  type ArgsDef,
  type CommandContext,
  type CommandDef,
  defineCommand,
  type ParsedArgs,
  type SubCommandsDef,
} from 'citty';
import { didYouMean, unknownName } from '../nearest.ts';

/** The user's words were wrong: one line on stderr, exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface StrictCommand<Args extends ArgsDef> {
  readonly meta: { readonly name: string; readonly description: string };
  readonly args: Args;
  /** Switches that may come with a value all the same, which `run` looks for. */
  readonly optionalValues?: readonly string[];
  /** How many words may follow that are no options; more are refused. Any number if absent. */
  readonly maxPositionals?: number;
  /** Commands that may follow its name; any other word is an argument of its own. */
  readonly subCommands?: SubCommandsDef;
  readonly run: (
    args: ParsedArgs<Args>,
    positionals: readonly string[],
    rawArgs: readonly string[],
  ) => Promise<void> | void;
}

/** A citty command that refuses what citty lets pass: unknown options, and values that are missing or wrong. */
export function strictCommand<Args extends ArgsDef>(command: StrictCommand<Args>): CommandDef {
  const definition = defineCommand({
    meta: command.meta,
    args: command.args,
    ...(command.subCommands === undefined ? {} : { subCommands: command.subCommands }),
    async run({ args, rawArgs }: CommandContext<Args>) {
      const { _: positionals, ...options } = args as ParsedArgs;
      refuseUnknown(options, command.args);
      refuseOddBooleans(rawArgs, command.args, command.optionalValues ?? []);
      const surplus = positionals[command.maxPositionals ?? Number.POSITIVE_INFINITY];
      if (surplus !== undefined) {
        throw new UsageError(`unexpected argument ${unknownName(surplus)}`);
      }
      await command.run(args, positionals, rawArgs);
    },
  });
  // Its arguments are its own affair: a table of commands has no one type for them.
  return definition as unknown as CommandDef;
}

/** A command that does nothing by itself: one of its subcommands has to follow. */
export function commandGroup(
  meta: { readonly name: string; readonly description: string },
  subCommands: SubCommandsDef,
): CommandDef {
  return defineCommand({ meta, subCommands });
}

function refuseUnknown(options: Readonly<Record<string, unknown>>, declared: ArgsDef): void {
  const names = namesBySpelling(declared);
  for (const [name, value] of Object.entries(options)) {
    const type = declared[names.get(name) ?? '']?.type;
    if (type === undefined) {
      const hint = didYouMean(name, [...Object.keys(declared), 'help']);
      throw new UsageError(
        `unknown option ${unknownName(`${name.length === 1 ? '-' : '--'}${name}`)}${hint.replace('mean ', 'mean --')}`,
      );
    }
    if (type !== 'boolean' && type !== 'positional' && (value === '' || typeof value === 'boolean')) {
      throw new UsageError(`option --${name} needs a value`);
    }
  }
}

/** citty takes any value of a boolean but `false` for true: `--private=no` would show private keys. */
function refuseOddBooleans(
  rawArgs: readonly string[],
  declared: ArgsDef,
  optionalValues: readonly string[],
): void {
  const names = namesBySpelling(declared);
  for (const argument of rawArgs) {
    if (argument === '--') {
      return;
    }
    const [, spelling = '', value = ''] = /^--([^=]+)=(.*)$/s.exec(argument) ?? [];
    const name = names.get(spelling) ?? '';
    const isSwitch = declared[name]?.type === 'boolean' && !optionalValues.includes(name);
    if (isSwitch && !['true', 'false'].includes(value)) {
      throw new UsageError(`option --${name}: expected true or false, got ${value}`);
    }
  }
}

/** The names of options by what may stand for them: citty takes `--seedFile` for `--seed-file`. */
function namesBySpelling(declared: ArgsDef): ReadonlyMap<string, string> {
  return new Map(
    Object.keys(declared).flatMap((name) => [name, camelCase(name)].map((spelling) => [spelling, name])),
  );
}

function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * All values of an option that may be given more than once, each of which may be a list with commas; of the parsed
 * arguments only the last would be there.
 */
export function everyValue(option: string, rawArgs: readonly string[]): string[] {
  const end = rawArgs.indexOf('--');
  const spellings = [option, camelCase(option)].map((spelling) => `--${spelling}`);
  return rawArgs
    .slice(0, end === -1 ? undefined : end)
    .flatMap((argument, index, all) => {
      if (spellings.includes(argument)) {
        return all[index + 1] ?? [];
      }
      const equals = argument.indexOf('=');
      return spellings.includes(argument.slice(0, equals)) ? argument.slice(equals + 1) : [];
    })
    .flatMap((value) => value.split(',').map((part) => part.trim()));
}

/** An option that is one of a few words. @throws UsageError */
export function oneOf<Word extends string>(option: string, words: readonly Word[], value: string): Word {
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) {
    throw new UsageError(`option --${option}: expected one of ${words.join(', ')}, got ${value}`);
  }
  return word;
}

/** An option that is a whole number. @throws UsageError */
export function wholeNumber(option: string, minimum: number, maximum: number, value: string): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < minimum || number > maximum) {
    throw new UsageError(
      `option --${option}: expected a whole number from ${minimum} to ${maximum}, got ${value}`,
    );
  }
  return number;
}

/** Turns what a parser throws into a mistake of the user's. */
export function usage<Result>(parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
