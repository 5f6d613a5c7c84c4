import { stripVTControlCharacters } from 'node:util';
import { defineCommand, renderUsage, runCommand } from 'citty';
import packageJson from '../package.json' with { type: 'json' };
import { UsageError } from './commands/command.ts';

const commands = {
  serve: async () => (await import('./commands/serve.ts')).default,
  keys: async () => (await import('./commands/keys.ts')).default,
  'endpoint-config': async () => (await import('./commands/endpoint-config.ts')).default,
  doctor: async () => (await import('./commands/doctor.ts')).default,
  service: async () => (await import('./commands/service.ts')).default,
};

const root = defineCommand({
  meta: {
    name: 'wgdriver',
    version: packageJson.version,
    description: 'Puts Docker containers on a WireGuard network',
  },
  subCommands: commands,
});

/** sysexits.h has 64 for this; shells and most programs have 2. */
const usageStatus = 2;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  // `wgdriver keys … | head -1` ends our output, not our work.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  // A log that cannot be written, on a full disk or with its reader gone, must not end the driver.
  process.stderr.on('error', () => {});
  try {
    if (args.includes('--help') || args.includes('-h') || args.length === 0) {
      process.stdout.write(`${await usage(args[0])}\n`);
      return args.length === 0 ? usageStatus : 0;
    }
    if (args[0] === '--version') {
      process.stdout.write(`${packageJson.version}\n`);
      return 0;
    }
    if (args[0]?.startsWith('-')) {
      // citty would take the option's value for the command's name, and say it.
      throw new UsageError(`expected a command first: one of ${Object.keys(commands).join(', ')}`);
    }
    await runCommand(root, { rawArgs: args });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    process.stderr.write(`wgdriver: ${stripVTControlCharacters(message).replaceAll(/\s*\n\s*/g, ' ')}\n`);
    return name === UsageError.name || name === 'CLIError' ? usageStatus : 1;
  }
}

async function usage(name = ''): Promise<string> {
  const command = Object.entries(commands).find(([candidate]) => candidate === name)?.[1];
  const text = await (command === undefined ? renderUsage(root) : renderUsage(await command(), root));
  // citty colours its text wherever it goes.
  return process.stdout.isTTY ? text : stripVTControlCharacters(text);
}
