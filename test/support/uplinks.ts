import type { UplinksTo } from '../../src/links/uplink.ts';

/** A host whose way to anywhere is an Ethernet of the usual kind, behind a router. */
export const usualUplinks: UplinksTo = async (addresses) =>
  addresses.map(() => ({ mtu: 1500, isLocal: false, isOnLink: false }));
