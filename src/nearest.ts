/** The candidate that a misspelt or shortened word was probably meant to be, in any case of letters. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  // Two slips in a long word; in a short one they could make any other word.
  const most = word.length > 4 ? 2 : 1;
  const lower = word.toLowerCase();
  const [best] = candidates
    .map((candidate) => ({ candidate, distance: distanceOf(lower, candidate) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance);
  return best?.candidate ?? candidates.find((candidate) => word.length > 2 && candidate.startsWith(lower));
}

/** `; did you mean keys?`, or nothing. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const candidate = nearest(word, candidates);
  return candidate === undefined ? '' : `; did you mean ${candidate}?`;
}

/**
 * A name that nobody knows, for an error: itself, unless a part of it looks like a key or a seed, typed behind its option
 * without a space or `=`; then `of 44 characters`.
 */
export function unknownName(name: string): string {
  const isHarmless = name.split(/[^A-Za-z0-9+]/).every((part) => part.length <= 7 || isWords(part));
  return isHarmless ? name : `of ${name.length} characters`;
}

/** A word, several in camel case, or one in capitals; hardly ever a part of something in base64. */
function isWords(text: string): boolean {
  return text.length <= 30 && /^(?:[A-Z]?[a-z]+(?:[A-Z][a-z]+)*[0-9]?|[A-Z]{1,20})$/.test(text);
}

/** How many characters must be inserted, deleted, replaced, or swapped with their neighbour. */
function distanceOf(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      const isSwapped = j > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const swapped = isSwapped ? (before[j - 1] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, swapped, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}
