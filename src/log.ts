import { createConsola, LogLevels, type LogObject } from 'consola/core';

/** What a line is about, beside its message: ids, addresses, names and durations; never a secret. */
export type Fields = Readonly<Record<string, string | number | undefined>>;

export interface Log {
  error(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  debug(message: string, fields?: Fields): void;
}

export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export const logFormats = ['text', 'json'] as const;

export interface LogSettings {
  readonly level: (typeof logLevels)[number];
  readonly format: (typeof logFormats)[number];
}

/** A log on stderr, one line an event: `time level message key=value…`, or one JSON object. */
export function createLog({ level, format }: LogSettings): Log {
  const line = format === 'json' ? jsonLine : textLine;
  return createConsola({
    level: LogLevels[level],
    // consola folds repeated messages together; each call to the driver gets its own line.
    throttle: 0,
    reporters: [{ log: (entry) => process.stderr.write(`${line(entry)}\n`) }],
  });
}

function jsonLine({ date, type, args: [message, fields] }: LogObject): string {
  return JSON.stringify({
    time: date.toISOString(),
    level: type,
    message,
    ...(fields as Fields | undefined),
  });
}

function textLine({ date, type, args: [message, fields] }: LogObject): string {
  const pairs = Object.entries((fields as Fields | undefined) ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${shortened(String(value))}`);
  // Names of options and words of programs are in it: they start no line and move no cursor.
  const text = String(message).replaceAll(/\p{Cc}+/gu, ' ');
  return `${date.toISOString()} ${type.padEnd(5)} ${text}${pairs.join('')}`;
}

/** Ids as `docker ps` shows them; text with spaces or control characters quoted. */
function shortened(value: string): string {
  if (/^[0-9a-f]{64}$/.test(value)) {
    return value.slice(0, 12);
  }
  return /[\s"\p{Cc}]/u.test(value) ? JSON.stringify(value) : value;
}

/** Milliseconds since a `performance.now()`, to a tenth: for the field `ms`. */
export function msSince(started: number): number {
  return Math.round((performance.now() - started) * 10) / 10;
}
