/** Completions of commands and options for three shells. Pure: text in, shell code out. */
import {
  type ArgumentReference,
  type CommandReference,
  withSubCommands,
} from '../../src/commands/reference.ts';

/** Options whose values are files, by what stands for their value in help. */
const fileHints = ['FILE', 'FOLDER', 'SOCKET', 'PATH'];

/** For bash-completion's folder of completions that are loaded when they are needed. */
export function bashCompletion(root: CommandReference): string {
  const cases = withSubCommands(root).map((command) => {
    const words = [...command.subCommands.map(nameOf), ...command.options.map(({ name }) => `--${name}`)];
    return `    '${command.path.join(' ')}') words='${[...words, '--help'].join(' ')}' ;;`;
  });
  const values = withSubCommands(root).flatMap(({ path, options }) =>
    options
      .filter(({ words }) => words.length > 0)
      .map(
        ({ name, words }) =>
          `    '${path.join(' ')} --${name}') COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$current")); return ;;`,
      ),
  );
  const names = withSubCommands(root).map(({ path }) => `'${path.join(' ')}'`);
  return `# Completion of wgdriver for bash, made by its build.
_wgdriver() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD - 1]}" command=wgdriver word words
  # bash takes --option=value for three words.
  [ "$current" != = ] || current=
  [ "$previous" != = ] || previous="\${COMP_WORDS[COMP_CWORD - 2]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$command $word" in
    ${names.slice(1).join(' | ')}) command="$command $word" ;;
    esac
  done
  case "$command $previous" in
${values.join('\n')}
  esac
  case "$previous" in
    ${fileOptions(root)
      .map((name) => `--${name}`)
      .join(' | ')}) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "$command" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _wgdriver wgdriver
`;
}

/** For a folder of zsh's fpath. */
export function zshCompletion(root: CommandReference): string {
  return `#compdef wgdriver
# Completion of wgdriver for zsh, made by its build.
${withSubCommands(root).map(zshFunction).join('\n')}
_wgdriver "$@"
`;
}

function zshFunction(command: CommandReference): string {
  const options = command.options.map(
    (option) =>
      `    ${quoted(`--${option.name}${option.value === undefined ? '' : '='}[${plain(option.description)}]${zshValue(option)}`)}`,
  );
  const help = `    '--help[Print help]'`;
  const lines = [...options, help].join(' \\\n');
  if (command.subCommands.length === 0) {
    const rest =
      command.positionals.length === 0 ? '' : ` \\\n    '*::${command.positionals[0]?.name ?? ''}:'`;
    return `${functionName(command)}() {\n  _arguments \\\n${lines}${rest}\n}`;
  }
  const described = command.subCommands.map((each) => quoted(`${nameOf(each)}:${plain(each.description)}`));
  const calls = command.subCommands.map((each) => `      ${nameOf(each)}) ${functionName(each)} ;;`);
  return `${functionName(command)}() {
  local state line
  _arguments -C \\
${lines} \\
    '1: :->command' '*:: :->rest'
  case $state in
    command)
      local -a commands=(${described.join(' ')})
      _describe command commands ;;
    rest)
      case $line[1] in
${calls.join('\n')}
      esac ;;
  esac
}`;
}

function zshValue({ value, words }: ArgumentReference): string {
  if (value === undefined) {
    return '';
  }
  const action = words.length > 0 ? `(${words.join(' ')})` : fileHints.includes(value) ? '_files' : '';
  return `:${value.replaceAll('|', ' ')}:${action}`;
}

/** For fish's folder of completions. */
export function fishCompletion(root: CommandReference): string {
  const lines = withSubCommands(root).flatMap((command) => {
    const seen = command.path.slice(1).map((word) => `__fish_seen_subcommand_from ${word}`);
    const below = command.subCommands.map(nameOf).join(' ');
    const here = [...seen, ...(below === '' ? [] : [`not __fish_seen_subcommand_from ${below}`])].join(
      '; and ',
    );
    const condition = here === '' ? '' : ` -n ${quoted(here)}`;
    return [
      ...command.subCommands.map(
        (each) => `complete -c wgdriver${condition} -a ${nameOf(each)} -d ${quoted(each.description)}`,
      ),
      ...command.options.map((option) => {
        const words = option.words.length > 0 ? ` -a ${quoted(option.words.join(' '))}` : '';
        const value =
          option.value === undefined ? '' : fileHints.includes(option.value) ? ' -r -F' : ` -x${words}`;
        return `complete -c wgdriver${condition} -l ${option.name}${value} -d ${quoted(option.description)}`;
      }),
    ];
  });
  return `# Completion of wgdriver for fish, made by its build.\ncomplete -c wgdriver -f -l help -d 'Print help'\n${lines.join('\n')}\n`;
}

function nameOf({ path }: CommandReference): string {
  return path.at(-1) ?? '';
}

function functionName({ path }: CommandReference): string {
  return `_${path.join('_').replaceAll('-', '_')}`;
}

function fileOptions(root: CommandReference): string[] {
  const names = withSubCommands(root).flatMap(({ options }) =>
    options.filter(({ value = '' }) => fileHints.includes(value)).map(({ name }) => name),
  );
  return [...new Set(names)];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What _arguments and _describe take for themselves. */
function plain(text: string): string {
  return text.replaceAll(/[\\:[\]]/g, (character) => `\\${character}`);
}
