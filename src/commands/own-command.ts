import { realpathSync } from 'node:fs';

/** What starts this program, for others to do the same. */
export function ownCommand(): string[] {
  if ('Deno' in globalThis) {
    throw new Error(
      'a service cannot run on Deno, whose permissions it does not know: run this with Node or the ' +
        'executable',
    );
  }
  const [node = '', script = ''] = process.argv;
  // In a single executable the second word is what the executable was called by, not a path.
  const words = process.getBuiltinModule('node:sea').isSea() ? [node] : [node, script];
  return words.map((path) => realpathSync(path));
}
