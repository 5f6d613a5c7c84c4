/** The blocks of a language on a page, in their order, without the indentation of the list that they stand in. */
export function blocksOf(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^( *)\`\`\`${language}\n([\\s\\S]*?)^ *\`\`\`$`, 'gm'))].map(
    ([, indentation = '', text = '']) => text.replaceAll(new RegExp(`^${indentation}`, 'gm'), ''),
  );
}
