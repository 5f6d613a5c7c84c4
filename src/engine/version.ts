/** The two numbers of an engine's version by which its behaviour is told apart. */
export interface EngineVersion {
  readonly major: number;
  readonly minor: number;
}

/** Parses `28.5.2` or `20.10.24+dfsg1`; undefined for what is built by hand, such as `dev`. */
export function parseEngineVersion(text: string): EngineVersion | undefined {
  const { major, minor } = /^(?<major>\d+)\.(?<minor>\d+)/.exec(text)?.groups ?? {};
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}

export function isOlder(a: EngineVersion, b: EngineVersion): boolean {
  return a.major < b.major || (a.major === b.major && a.minor < b.minor);
}
