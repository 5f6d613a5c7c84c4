/** A line `Key = Value`, without its comment. */
export interface Entry {
  /** From 1. */
  readonly line: number;
  /** The key in lower case, without white space. */
  readonly name: string;
  readonly value: string;
  /** The key as it is written; not for errors, as a line that went wrong may begin with a secret: see entryName. */
  readonly key: string;
}

export interface Section {
  /** In lower case: interface, peer. */
  readonly name: string;
  /** The line of its heading, from 1. */
  readonly line: number;
  readonly entries: readonly Entry[];
  /** Its lines as they are, heading, comments and all, up to the next heading. */
  readonly text: readonly string[];
}

const byteOrderMark = '\ufeff';

/**
 * The sections of a file for wg-quick(8), as it reads them: `#` begins a comment anywhere, white space and the case of
 * keys and headings do not count.
 * @throws Error that names the line
 */
export function sectionsOf(text: string): Section[] {
  if (text.includes('\0')) {
    // A text in UTF-16, as old editors on Windows save it.
    throw new Error('expected UTF-8 text, but the file contains zero bytes: save it as UTF-8');
  }
  const sections: { name: string; line: number; entries: Entry[]; text: string[] }[] = [];
  const lines = text.replace(byteOrderMark, '').split(/\r\n|\n|\r/);
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    const content = (raw.split('#', 1)[0] ?? '').trim();
    if (content.startsWith('[')) {
      const name = content.replaceAll(/\s/g, '').toLowerCase().slice(1, -1);
      if (!content.endsWith(']') || !['interface', 'peer'].includes(name)) {
        throw new Error(`line ${line}: expected [Interface] or [Peer] for a section`);
      }
      sections.push({ name, line, entries: [], text: [raw] });
      continue;
    }
    const section = sections.at(-1);
    section?.text.push(raw);
    if (content === '') {
      continue;
    }
    const equals = content.indexOf('=');
    if (section === undefined || equals === -1) {
      throw new Error(
        `line ${line}: expected ` +
          `${section === undefined ? '[Interface] or [Peer] before anything else' : 'KEY = VALUE'}`,
      );
    }
    const key = content.slice(0, equals).trim();
    section.entries.push({
      line,
      key,
      name: key.replaceAll(/\s/g, '').toLowerCase(),
      value: content.slice(equals + 1).trim(),
    });
  }
  return sections;
}

/** The key of an entry for an error; undefined if the line looks as if a part of a secret stood there. */
export function entryName({ key, value }: Entry): string | undefined {
  // A key in base64 that is broken over lines has a beginning that ends the line before, and an end with nothing behind
  // its `=`. Where its last characters are garbled too, they are hardly words.
  const isWords =
    /^(?:[A-Za-z][A-Za-z0-9]{0,6}|[A-Z]?[a-z]+(?:[A-Z][a-z]+)*[0-9]?)$/.test(key) && key.length <= 30;
  return isWords && value.replaceAll('=', '') !== '' ? key : undefined;
}
