import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { StateError } from './error.ts';

/** A small JSON file that is called by the id of what it records. */
export interface StateFile {
  readonly id: string;
  readonly path: string;
  /** What is in it; an Error if that is no JSON. */
  readonly content: unknown;
}

/**
 * Every file of a suffix in a folder, in no order; none where there is no such folder.
 * @throws StateError if the folder or a file cannot be read, which says nothing about what is in it
 */
export async function readStateFiles(folder: string, suffix: string): Promise<StateFile[]> {
  const files: StateFile[] = [];
  // One after the other: thousands at once would run out of file descriptors.
  for (const name of (await namesIn(folder)).filter((candidate) => candidate.endsWith(suffix))) {
    const path = join(folder, name);
    files.push({ id: name.slice(0, -suffix.length), path, content: await readJson(path) });
  }
  return files;
}

/** @throws StateError unless it can be read or is not there */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return [];
    }
    throw unreadable('folder', folder, error);
  }
}

export async function makeStateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

/** Puts a file that makes no sense out of the way, under a name that is returned; it is not deleted. */
export async function setAside(path: string): Promise<string> {
  const aside = `${path}.unreadable-${Date.now()}`;
  await rename(path, aside);
  return aside;
}

/** At half the price of rm(…, { force: true }), which looks first. */
export async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
  });
}

export function textOf(record: object): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** In the words of the kernel: `write state file /…/x.json: ENOSPC: no space left on device, write`. */
export function failure(operation: string, path: string, error: unknown): Error {
  return new Error(`${operation} state file ${path}: ${messageOf(error)}`, { cause: error });
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') {
      return new Error('expected a file, got a folder');
    }
    throw unreadable('file', path, error);
  }
  try {
    return JSON.parse(text);
  } catch {
    // JSON.parse's own message quotes the text, and a seed may be in it.
    return new Error('expected JSON');
  }
}

function unreadable(what: 'file' | 'folder', path: string, error: unknown): StateError {
  return new StateError('unreadable', `read state ${what} ${path}: ${messageOf(error)}`, { cause: error });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
