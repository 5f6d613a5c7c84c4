/**
 * What CHANGELOG.md says of a release, less its heading; of what is not released yet if it has no section.
 * @throws Error if it says nothing
 */
export function releaseNotes(changelog: string, version: string): string {
  const sections = changelog.split(/^## /m).slice(1);
  const titled = (title: string) => sections.find((section) => section.startsWith(title));
  const section = titled(version) ?? titled(`[${version}]`) ?? titled('Unreleased') ?? titled('[Unreleased]');
  const text = section?.slice(section.indexOf('\n')).trim();
  if (!text) {
    throw new Error(`CHANGELOG.md has no section for ${version}: write what has changed`);
  }
  return `${text}\n`;
}
