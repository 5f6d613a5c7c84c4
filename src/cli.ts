import { stripVTControlCharacters } from 'node:util';
import { runCommand } from 'citty';
import packageJson from '../package.json' with { type: 'json' };
import { UsageError } from './commands/command.ts';
import { helpText } from './commands/help.ts';
import { referenceOf } from './commands/reference.ts';
import { type FoundCommand, findCommand, subCommandsOf } from './commands/root.ts';
import { columnsOf, hasColours } from './commands/terminal.ts';
import { writeFault } from './file-fault.ts';
import { didYouMean, unknownName } from './nearest.ts';

/** sysexits.h has 64 for this; shells and most programs have 2. */
const usageStatus = 2;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  // `wgdriver keys … | head -1` ends our output, not our work.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') {
      process.stderr.write(`wgdriver: cannot write to stdout: ${writeFault(error)}\n`);
    }
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  // A log that cannot be written, on a full disk or with its reader gone, must not end the driver.
  process.stderr.on('error', () => {});
  try {
    // `wgdriver help keys`, as of git and docker.
    const words = args[0] === 'help' ? [...args.slice(1), '--help'] : args;
    const found = await findCommand(words);
    await refuseUnknown(found);
    if (args.length === 0 || wantsHelp(found.rest)) {
      process.stdout.write(`${await usage(found)}\n`);
      return args.length === 0 ? usageStatus : 0;
    }
    if (args[0] === '--version') {
      process.stdout.write(`${packageJson.version}\n`);
      return 0;
    }
    // Its subcommands have been looked for; citty would take any word for the name of one.
    const { subCommands: _, ...command } = found.command;
    await runCommand(command, { rawArgs: [...found.rest] });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    process.stderr.write(`wgdriver: ${stripVTControlCharacters(message).replaceAll(/\s*\n\s*/g, ' ')}\n`);
    return name === UsageError.name || name === 'CLIError' ? usageStatus : 1;
  }
}

/** @throws UsageError if a subcommand had to follow and something else does, or a misspelt one */
async function refuseUnknown({ command, path, rest: [word] }: FoundCommand): Promise<void> {
  const names = Object.keys(await subCommandsOf(command));
  const isOption = word?.startsWith('-') === true;
  const known = path.length === 1 ? [...names, '--version'] : names;
  const hint = word === undefined || isOption ? '' : didYouMean(word, known);
  // A command that runs by itself takes words of its own, unless one looks like a subcommand: `keys sed`.
  if (
    (command.run !== undefined && hint === '') ||
    (isOption && ['--help', '-h', '--version'].includes(word))
  ) {
    return;
  }
  if (word === undefined) {
    if (path.length > 1) {
      throw new UsageError(`expected a command after \`${path.join(' ')}\`: one of ${names.join(', ')}`);
    }
    return;
  }
  throw new UsageError(
    isOption
      ? `expected a command before the option ${unknownName(word)}${didYouMean(word, ['--help', '--version']) || `: one of ${names.join(', ')}`}`
      : `unknown command ${unknownName(word)}${hint || `; expected one of ${names.join(', ')}`}`,
  );
}

function wantsHelp(rest: readonly string[]): boolean {
  const end = rest.indexOf('--');
  const options = end === -1 ? rest : rest.slice(0, end);
  return options.includes('--help') || options.includes('-h');
}

async function usage({ command, path }: FoundCommand): Promise<string> {
  const text = helpText(await referenceOf(command, path), columnsOf(process.stdout) ?? 80);
  return hasColours(process.stdout) ? text : stripVTControlCharacters(text);
}
