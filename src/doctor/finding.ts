import { stripVTControlCharacters } from 'node:util';

/** What came of something that was tried. */
export type Attempt =
  | { readonly ok: true; readonly stdout: string }
  | { readonly ok: false; readonly cause: string };

export type Status = 'pass' | 'warn' | 'fail' | 'skip';

/** What a check found. Its texts are one line each, whatever a program or an engine said. */
export interface Finding {
  /** The check, for people and programs: lower case, words joined by dashes. */
  readonly name: string;
  readonly status: Status;
  readonly cause: string;
  /** What to do about it; absent where there is nothing to do. */
  readonly fix?: string;
}

export function pass(name: string, cause: string): Finding {
  return { name, status: 'pass', cause: oneLine(cause) };
}

/** It works, but not as safely or as well as it could. */
export function warn(name: string, cause: string, fix: string): Finding {
  return { name, status: 'warn', cause: oneLine(cause), fix: oneLine(fix) };
}

/** Containers on this driver's networks will not work. */
export function fail(name: string, cause: string, fix: string): Finding {
  return { name, status: 'fail', cause: oneLine(cause), fix: oneLine(fix) };
}

/** Not looked at: what it builds upon is missing, and its own finding says what to do. */
export function skip(name: string, cause: string): Finding {
  return { name, status: 'skip', cause: oneLine(cause) };
}

/** The first few of a list: `a, b, c and 9 more`. */
export function listed(items: readonly string[], most = 5): string {
  const shown = items.slice(0, most).join(', ');
  return items.length > most ? `${shown} and ${items.length - most} more` : shown;
}

function oneLine(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll(/[\s\p{Cc}]+/gu, ' ')
    .trim();
}
