/** What every command takes, as data: help, man pages and completions are made from it. */
import type { ArgsDef, CommandDef, CommandMeta } from 'citty';
import { subCommandsOf } from './root.ts';

export interface CommandReference {
  /** From `wgdriver` on. */
  readonly path: readonly string[];
  readonly description: string;
  readonly version: string | undefined;
  readonly positionals: readonly ArgumentReference[];
  readonly options: readonly ArgumentReference[];
  readonly subCommands: readonly CommandReference[];
}

export interface ArgumentReference {
  readonly name: string;
  readonly description: string;
  /** What stands for it, or for its value, in help; undefined for a switch. */
  readonly value: string | undefined;
  /** The only words it takes, if they are few. */
  readonly words: readonly string[];
  readonly default: string | undefined;
  readonly isRequired: boolean;
}

export async function referenceOf(
  command: CommandDef,
  path: readonly string[] = ['wgdriver'],
): Promise<CommandReference> {
  const meta = await resolved<CommandMeta>(command.meta);
  const args = Object.entries((await resolved<ArgsDef>(command.args)) ?? {}).map(([name, definition]) => ({
    type: definition.type,
    reference: argumentReference(name, definition),
  }));
  const subCommands = await Promise.all(
    Object.entries(await subCommandsOf(command)).map(async ([name, load]) =>
      referenceOf(await load(), [...path, name]),
    ),
  );
  const ofType = (isPositional: boolean) =>
    args.filter(({ type }) => (type === 'positional') === isPositional).map(({ reference }) => reference);
  return {
    path,
    description: meta?.description ?? '',
    version: meta?.version,
    positionals: ofType(true),
    options: ofType(false),
    subCommands,
  };
}

/** A command and all that are below it. */
export function withSubCommands(command: CommandReference): CommandReference[] {
  return [command, ...command.subCommands.flatMap(withSubCommands)];
}

function argumentReference(name: string, definition: ArgsDef[string]): ArgumentReference {
  const hint = definition.valueHint ?? name.toUpperCase();
  const isSwitch = definition.type === 'boolean';
  return {
    name,
    description: definition.description ?? '',
    value: isSwitch ? undefined : hint,
    // In capitals stands what the user puts there.
    words: !isSwitch && hint.includes('|') && hint === hint.toLowerCase() ? hint.split('|') : [],
    default: definition.default === undefined || isSwitch ? undefined : String(definition.default),
    isRequired: definition.required ?? definition.type === 'positional',
  };
}

async function resolved<Value>(value: unknown): Promise<Value | undefined> {
  return (await (typeof value === 'function' ? value() : value)) as Value | undefined;
}
