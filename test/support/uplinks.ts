import type { UplinkTo } from '../../src/links/uplink.ts';

/** A host whose way to anywhere is an Ethernet of the usual kind, behind a router. */
export const usualUplink: UplinkTo = async () => ({ mtu: 1500, isLocal: false, isOnLink: false });
