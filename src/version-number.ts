/** The two numbers of a version of the engine, or of the kernel, by which its behaviour is told apart. */
export interface VersionNumber {
  readonly major: number;
  readonly minor: number;
}

/** Parses `28.5.2`, `20.10.24+dfsg1` or `6.1.0-18-amd64`; undefined for what is built by hand, such as `dev`. */
export function parseVersionNumber(text: string): VersionNumber | undefined {
  const { major, minor } = /^(?<major>\d+)\.(?<minor>\d+)/.exec(text)?.groups ?? {};
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}

export function isOlder(a: VersionNumber, b: VersionNumber): boolean {
  return a.major < b.major || (a.major === b.major && a.minor < b.minor);
}
