/** Between these lines are our peers; what is outside of them is somebody else's. */
export const peersBegin =
  '# wgdriver: peers from here on are made by `wgdriver endpoint-config`; changes in them get lost';
export const peersEnd = '# wgdriver: end of peers';

/**
 * The lines of a hub's file but those between our marks, which are blank here: so each keeps its number.
 * @throws Error that names the line
 */
export function withoutOurs(lines: readonly string[]): string[] {
  let beginning: number | undefined;
  const kept = lines.map((line, index) => {
    if (line.trim() === peersBegin) {
      beginning = index;
    }
    const isOurs = beginning !== undefined;
    if (line.trim() === peersEnd) {
      beginning = undefined;
    }
    return isOurs ? '' : line;
  });
  if (beginning !== undefined) {
    throw new Error(`line ${beginning + 1}: wgdriver’s peers begin here, and nothing says where they end`);
  }
  return kept;
}
