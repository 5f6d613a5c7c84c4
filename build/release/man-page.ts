/** Manual pages of section 1 (man(7)), one for each command. Pure: text in, roff out. */
import type { ArgumentReference, CommandReference } from '../../src/commands/reference.ts';

/** Where a page's own command cannot say it all. */
const footer = [
  '.SH EXIT STATUS',
  '0 on success, 1 if the work failed, something named does not exist or something wrong was found, 2 if the arguments were wrong.',
];

/** The name of a command's page, less its section: `wgdriver-keys-seed`. */
export function manPageName({ path }: CommandReference): string {
  return path.join('-');
}

/** @param date of the release, YYYY-MM-DD */
export function manPage(command: CommandReference, version: string, date: string): string {
  const { path, description, positionals, options, subCommands } = command;
  const name = manPageName(command);
  const called = `.B ${escaped(path.join(' '))}`;
  const ownArguments = [
    ...(options.length === 0 ? [] : ['[\\fIOPTIONS\\fR]']),
    ...positionals.map((argument) => (argument.isRequired ? operand(argument) : `[${operand(argument)}]`)),
  ];
  const synopsis = [
    ...(subCommands.length > 0 && ownArguments.length === 0 ? [] : [called, ...ownArguments]),
    ...(subCommands.length > 0 && ownArguments.length > 0 ? ['.br'] : []),
    ...(subCommands.length > 0 ? [called, '\\fICOMMAND\\fR'] : []),
  ];
  const parent = path.length > 1 ? [path.slice(0, -1).join('-')] : [];
  const related = [...parent, ...subCommands.map(manPageName)];
  return [
    `.TH ${name.toUpperCase()} 1 ${date} "wgdriver ${version}" "wgdriver manual"`,
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(lowerFirst(description))}`,
    '.SH SYNOPSIS',
    ...synopsis,
    ...section('COMMANDS', subCommands.flatMap(subCommandLines)),
    ...section('ARGUMENTS', positionals.flatMap(argumentLines)),
    ...section('OPTIONS', [
      ...options.flatMap(optionLines),
      ...['.TP', '\\fB\\-\\-help\\fR', 'Print help.'],
      ...(command.version === undefined ? [] : ['.TP', '\\fB\\-\\-version\\fR', 'Print the version.']),
    ]),
    ...footer,
    ...section('SEE ALSO', related.length === 0 ? [] : [related.map(reference).join(',\n')]),
    '',
  ].join('\n');
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [`.SH ${title}`, ...lines];
}

function subCommandLines(command: CommandReference): string[] {
  return ['.TP', reference(manPageName(command)), `${escaped(command.description)}.`];
}

function argumentLines(argument: ArgumentReference): string[] {
  return ['.TP', operand(argument), `${escaped(argument.description)}.`];
}

function optionLines({ name, value, description, ...option }: ArgumentReference): string[] {
  const assigned = value === undefined ? '' : `=\\fI${escaped(value)}\\fR`;
  const byDefault = option.default === undefined ? '' : ` The default is \\fB${escaped(option.default)}\\fR.`;
  return [
    '.TP',
    `\\fB\\-\\-${escaped(name)}\\fR${assigned}`,
    `${escaped(sentence(description))}${byDefault}`,
  ];
}

function operand({ value = '' }: ArgumentReference): string {
  return `\\fI${escaped(value)}\\fR`;
}

function reference(name: string): string {
  return `\\fB${escaped(name)}\\fR(1)`;
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** groff_char(7): a hyphen that can be copied, quotes as they are, no character taken for a request. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('`', '\\(ga')
    .replaceAll('…', '...')
    .replace(/^([.'])/gm, '\\&$1');
}
