/**
 * The mark on a link is its ifalias, `wgdriver:<owner>:<endpoint id>`. The owner is the driver's name,
 * so that two drivers on one host do not take each other's links for orphans.
 */
export interface Mark {
  write(endpointId: string): string;
  /** The endpoint's id, or undefined if the alias is not this owner's mark. */
  read(alias: string | undefined): string | undefined;
}

/** The endpoint's id in anybody's mark: a managed plugin marks links by another name than the engine knows it by. */
export function readEndpointId(alias: string | undefined): string | undefined {
  return /^wgdriver:[^:]+:([^:]+)$/.exec(alias ?? '')?.[1];
}

/** The name of a driver that was given none, which is the article's. */
export const usualOwner = 'wireguard-plugin';

export function markOf(owner: string): Mark {
  const prefix = `wgdriver:${owner}:`;
  return {
    write: (endpointId) => prefix + endpointId,
    read: (alias) => (alias?.startsWith(prefix) ? alias.slice(prefix.length) : undefined),
  };
}
