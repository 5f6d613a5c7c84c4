import * as v from 'valibot';
import { decode } from '../decode.ts';
import { run, successOf } from './run.ts';

/** What ip(8) prints. */

/** What the kernel said, in one line and without the framing of `ip`. */
export function kernelWords(text: string): string {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('Command failed'))
    .map((line) => line.replace(/^(RTNETLINK answers|Error): /, ''))
    .join('; ');
}

/**
 * Asks `ip -json` for something that may not be there.
 * @param what for, in an error
 * @returns none where the kernel says that there is none: no route, or no such link
 * @throws Error
 */
export async function askIp<Schema extends v.GenericSchema<unknown, readonly unknown[]>>(
  schema: Schema,
  args: readonly string[],
  what: string,
): Promise<v.InferOutput<Schema> | readonly []> {
  const outcome = await run('ip', ['-json', ...args]);
  if (!outcome.ok && (isRefusal.test(outcome.ending) || /^Device .* does not exist/.test(outcome.stderr))) {
    return [];
  }
  return decodeIpJson(schema, successOf(outcome, what), `ip -json ${args.join(' ')}`);
}

/**
 * Asks `ip -json` many things by one process.
 * @param commands without what has a meaning in a batch, such as quotes
 * @param what for, in an error
 * @returns an answer for each; undefined where the kernel refused it: no route
 * @throws Error
 */
export async function askIpBatch<Schema extends v.GenericSchema<unknown, readonly unknown[]>>(
  schema: Schema,
  commands: readonly string[],
  what: string,
): Promise<(v.InferOutput<Schema> | undefined)[]> {
  const args = ['-json', '-force', '-batch', '-'];
  const command = `ip ${args.join(' ')}`;
  const outcome = await run('ip', args, { stdin: `${commands.join('\n')}\n` });
  const failed = outcome.ok ? [] : [...outcome.stderr.matchAll(/^Command failed -:(\d+)$/gm)];
  const refused = new Set(failed.map(([, line]) => Number(line) - 1));
  // Of those that were not refused one line each.
  const answers = outcome.stdout.split('\n').filter((line) => line !== '');
  if (answers.length + refused.size !== commands.length) {
    successOf(outcome, what);
    throw new Error(`${what}: ${command}: expected ${commands.length} answers, got ${answers.length}`);
  }
  const decoded = decodeIpJson(v.array(schema), `[${answers.join(',')}]`, command).values();
  return commands.map((_, index) => (refused.has(index) ? undefined : decoded.next().value));
}

/** ip(8): "If an error was reported by the kernel exit status is 2." */
const isRefusal = /: exit status 2$/;

/**
 * Decodes what `ip -json` prints. It does not escape all control characters, and the root of a container can put any
 * of them into an alias.
 * @throws Error if it is something else, or nothing: of nothing `ip` prints an empty list
 */
export function decodeIpJson<Schema extends v.GenericSchema>(
  schema: Schema,
  json: string,
  command: string,
): v.InferOutput<Schema> {
  if (json.trim() === '') {
    throw new Error(`${command}: expected a list, got no output`);
  }
  const escaped = json.replaceAll(/\p{Cc}/gu, (character) =>
    '\t\n\r'.includes(character)
      ? character
      : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
  return decode(schema, parseJson(escaped, command), command);
}

function parseJson(json: string, command: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new Error(`${command}: expected JSON, got output that is something else or is cut short`);
  }
}
