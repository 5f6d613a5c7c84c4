import { removalOf } from './difference.ts';
import type { Applied, Namespaces } from './namespaces.ts';
import { trialProtection } from './rules.ts';

/** Protects a new namespace, which nobody uses. @throws Error if this host cannot, with what to install */
export async function probeProtection(namespaces: Namespaces): Promise<Applied> {
  await namespaces.probeWatch().catch((error: Error) => {
    throw new Error(
      `this driver cannot keep traffic in the tunnel (${error.message}); the kernel must tell it of changes in ` +
        `containers’ networks: give it CAP_NET_BROADCAST, as \`wgdriver service install\` and the managed plugin do`,
    );
  });
  try {
    return await namespaces.apply('new', trialProtection(), removalOf({ routes: [], rules: [] }));
  } catch (error) {
    throw new Error(
      `this host cannot keep traffic in the tunnel (${(error as Error).message}); it needs nftables in the kernel ` +
        'and, on a runtime that cannot call libc, the programs nsenter, ip and nft (Debian’s packages util-linux, ' +
        'iproute2 and nftables)',
    );
  }
}

/** A probe whose outcome holds until a container could not be protected. */
export interface Probe {
  /** @throws Error as `probeProtection`; then the next one probes again */
  once(): Promise<void>;
  /** The same, but an older outcome than a second does not hold. */
  lately(): Promise<void>;
  forget(): void;
}

/** How old a probe may be that a container starts by, whose namespace is still to come: a storm of them shares one. */
const probeLastsMs = 1000;

export function createProbe(namespaces: Namespaces, onApplied: (applied: Applied) => void): Probe {
  let probed: Promise<void> | undefined;
  let probedAtMs = 0;

  function once(): Promise<void> {
    if (probed === undefined) {
      probedAtMs = performance.now();
      probed = probeProtection(namespaces).then(onApplied, (error) => {
        probed = undefined;
        throw error;
      });
    }
    return probed;
  }

  return {
    once,

    lately() {
      if (performance.now() - probedAtMs >= probeLastsMs) {
        probed = undefined;
      }
      return once();
    },

    forget() {
      probed = undefined;
    },
  };
}
