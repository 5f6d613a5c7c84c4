type Fields = Readonly<Record<string, unknown>>;

/** Makes a record of one version one of the next. */
type Migration = (record: Fields) => Fields;

/**
 * What leads from version 1 of a kind of record to 2, from 2 to 3, and so on. A version counts for its kind alone,
 * and only a record whose format changed gets a new one: an older driver refuses to start on it.
 */
const migrations = {
  network: [ofRelease01],
  endpoint: [addressesOfAddress],
  joined: [],
  gateway: [],
} satisfies Readonly<Record<string, readonly Migration[]>>;

export type RecordKind = keyof typeof migrations;

/** The version in which records of a kind are written. */
export function currentVersion(kind: RecordKind): number {
  return migrations[kind].length + 1;
}

/** The version of a file; undefined if it says none. */
export function versionIn(file: unknown): number | undefined {
  const version = isFields(file) ? file.version : undefined;
  return Number.isInteger(version) && Number(version) > 0 ? Number(version) : undefined;
}

/**
 * A record in its current version, whichever it was written in.
 * @throws Error if it says none, or a newer one
 */
export function migrated(kind: RecordKind, file: unknown): Fields {
  const version = versionIn(file);
  if (!isFields(file) || version === undefined || version > currentVersion(kind)) {
    throw new Error(`${kind}.version: expected an integer from 1 to ${currentVersion(kind)}`);
  }
  const { version: _, ...fields } = file;
  const steps: readonly Migration[] = migrations[kind];
  return steps.slice(version - 1).reduce<Fields>((record, step) => step(record), fields);
}

/**
 * 0.1 gave every link 1420 unless the network said otherwise; it knew no configuration files, which may say it. Nor did it
 * look at the names of options: what its containers were given besides must not keep them from starting.
 */
function ofRelease01({ options, ...rest }: Fields): Fields {
  const hasMtu = !isFields(options) || options.conffile !== undefined;
  return { ...rest, isOf01: true, options: hasMtu ? options : { mtu: '1420', ...options } };
}

/** 0.1 knew one address, and the boot, which the folder says now. */
function addressesOfAddress({ address, bootId: _, ...rest }: Fields): Fields {
  return { ...rest, addresses: [address] };
}

function isFields(file: unknown): file is Fields {
  return typeof file === 'object' && file !== null && !Array.isArray(file);
}
