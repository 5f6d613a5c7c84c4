/** What `--help` prints. Pure: text in, text out. */
import { styleText } from 'node:util';
import type { ArgumentReference, CommandReference } from './reference.ts';
import { wrapped } from './wrapped.ts';

/** Where descriptions begin, as in the help of GNU's programs; one whose term is too long begins in the next line. */
const descriptionColumn = 30;

/** @param columns of the terminal; a word that is longer stands in a line of its own */
export function helpText(command: CommandReference, columns: number): string {
  const { path, description, version, positionals, options, subCommands } = command;
  const name = path.join(' ');
  const takesArguments = positionals.length + options.length > 0;
  const usages = [
    ...(takesArguments || subCommands.length === 0
      ? [[name, ...(options.length > 0 ? ['[OPTIONS]'] : []), ...positionals.map(operand)].join(' ')]
      : []),
    ...(subCommands.length === 0 ? [] : [`${name} COMMAND`]),
  ];
  const section = (title: string, entries: readonly (readonly [term: string, description: string])[]) =>
    entries.length === 0
      ? []
      : ['', heading(title), ...entries.flatMap(([term, text]) => entry(term, text, columns))];
  return [
    ...wrapped(version === undefined ? description : `${description} (${name} ${version})`, columns),
    '',
    heading('USAGE'),
    ...usages.map((usage) => `  ${styled('cyan', usage)}`),
    ...section(
      'COMMANDS',
      subCommands.map((each) => [each.path.at(-1) ?? '', each.description]),
    ),
    ...section(
      'ARGUMENTS',
      positionals.map((argument) => [operand(argument), described(argument)]),
    ),
    ...section('OPTIONS', [
      ...options.map((option) => [optionTerm(option), described(option)] as const),
      ['--help', 'Print this help'],
      ...(version === undefined ? [] : [['--version', 'Print the version'] as const]),
    ]),
    ...(subCommands.length === 0
      ? []
      : ['', ...wrapped(`\`${name} COMMAND --help\` says more about a command.`, columns)]),
  ].join('\n');
}

function operand({ value = '', isRequired }: ArgumentReference): string {
  return isRequired ? value : `[${value}]`;
}

function optionTerm({ name, value }: ArgumentReference): string {
  return value === undefined ? `--${name}` : `--${name}=${value}`;
}

function described({ description, default: byDefault }: ArgumentReference): string {
  return byDefault === undefined ? description : `${description} (Default: ${byDefault})`;
}

function entry(term: string, description: string, columns: number): string[] {
  const [first = '', ...more] = wrapped(description, columns - descriptionColumn);
  const indented = (line: string) => ' '.repeat(descriptionColumn) + line;
  const head = `  ${styled('cyan', term)}`;
  const space = descriptionColumn - 2 - term.length;
  return space < 2
    ? [head, ...[first, ...more].map(indented)]
    : [head + ' '.repeat(space) + first, ...more.map(indented)];
}

function heading(title: string): string {
  return styled('bold', title);
}

/** Always with colours: whoever prints the text takes them away where they are not wanted. */
function styled(style: 'bold' | 'cyan', text: string): string {
  return styleText(style, text, { validateStream: false });
}
