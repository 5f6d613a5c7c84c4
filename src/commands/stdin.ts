import { Buffer } from 'node:buffer';
import { UsageError } from './command.ts';

/** What stdin was read for. */
let reader: string | undefined;

/**
 * All of stdin, which `-` stands for where a file is named.
 * @param what it is to be: `the seed`
 * @throws UsageError if stdin was something else before
 */
export async function readStdin(what: string): Promise<string> {
  if (reader !== undefined) {
    throw new UsageError(`stdin cannot be both ${reader} and ${what}: use a file for one of them`);
  }
  reader = what;
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) {
    chunks.push(Buffer.from(chunk as Buffer));
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The file of an option that names one to write; undefined for stdout, which `-` stands for. */
export function outputFile(option: string | undefined): string | undefined {
  return option === '-' ? undefined : option;
}
