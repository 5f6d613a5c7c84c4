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
 * Parses what `ip -json` prints; nothing is an empty list. It does not escape all control characters, and the root
 * of a container can put any of them into an alias.
 */
export function parseIpJson(json: string): unknown {
  const escaped = json.replaceAll(/\p{Cc}/gu, (character) =>
    '\t\n\r'.includes(character)
      ? character
      : `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
  return escaped.trim() === '' ? [] : JSON.parse(escaped);
}
