import { type CommandDef, defineCommand } from 'citty';
import packageJson from '../../package.json' with { type: 'json' };

/** A command, loaded when it is asked for: each brings modules that the others do without. */
type LazyCommand = () => Promise<CommandDef>;

/** The commands of wgdriver, by name; help, man pages and completions are made from them. */
export const commands: Readonly<Record<string, LazyCommand>> = {
  serve: async () => (await import('./serve.ts')).default,
  keys: async () => (await import('./keys.ts')).default,
  'endpoint-config': async () => (await import('./endpoint-config.ts')).default,
  'client-config': async () => (await import('./client-config.ts')).default,
  reload: async () => (await import('./reload.ts')).default,
  status: async () => (await import('./status.ts')).default,
  doctor: async () => (await import('./doctor.ts')).default,
  service: async () => (await import('./service.ts')).default,
  hub: async () => (await import('./hub.ts')).default,
};

export const root = defineCommand({
  meta: {
    name: 'wgdriver',
    version: packageJson.version,
    description: 'Puts Docker containers on a WireGuard network',
  },
  subCommands: commands,
});

/** A command and how it is called, from `wgdriver` on. */
export interface FoundCommand {
  readonly command: CommandDef;
  readonly path: readonly string[];
  /** The words that follow it. */
  readonly rest: readonly string[];
}

/** The command that the words begin with: as many of them as name a command and its subcommands. */
export async function findCommand(words: readonly string[]): Promise<FoundCommand> {
  let found: FoundCommand = { command: root, path: ['wgdriver'], rest: words };
  for (;;) {
    const [word = '', ...rest] = found.rest;
    const subCommands = await subCommandsOf(found.command);
    const subCommand = Object.hasOwn(subCommands, word) ? subCommands[word] : undefined;
    if (subCommand === undefined) {
      return found;
    }
    found = { command: await subCommand(), path: [...found.path, word], rest };
  }
}

/** A command's subcommands, by name. */
export async function subCommandsOf({ subCommands }: CommandDef): Promise<Record<string, LazyCommand>> {
  const table = await (typeof subCommands === 'function' ? subCommands() : subCommands);
  return Object.fromEntries(
    Object.entries(table ?? {}).map(([name, command]) => [
      name,
      async () => (typeof command === 'function' ? command() : command),
    ]),
  );
}
