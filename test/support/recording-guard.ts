import { setImmediate } from 'node:timers/promises';
import type { Guard } from '../../src/killswitch/killswitch.ts';
import { formatPrefix } from '../../src/wireguard/address.ts';

/** A guard that only takes notes, with the contract of src/killswitch/killswitch.ts. */
export interface RecordingGuard extends Guard {
  /** By the ids of their endpoints: the namespaces that are protected, and what may not leave them in clear. */
  readonly guarded: ReadonlyMap<
    string,
    { readonly sandboxKey: string; readonly prefixes: readonly string[] }
  >;
  /** Makes every next call of a step fail, or work again. */
  fail(step: 'probe' | 'protect' | 'release', error: Error | undefined): void;
}

export function recordingGuard(): RecordingGuard {
  const guarded = new Map<string, { sandboxKey: string; prefixes: string[] }>();
  const failures = new Map<string, Error | undefined>();
  const begin = async (step: string) => {
    const failure = failures.get(step);
    if (failure !== undefined) {
      throw failure;
    }
  };
  return {
    guarded,
    fail: (step, error) => void failures.set(step, error),
    probe: () => begin('probe'),
    async protect(sandboxKey, endpointId, { prefixes }) {
      await begin('protect');
      guarded.set(endpointId, { sandboxKey, prefixes: prefixes.map(formatPrefix) });
      return 'protected';
    },
    leave() {},
    networksOf: async () => undefined,
    stateOf: (sandboxKey, endpointId) =>
      guarded.get(endpointId)?.sandboxKey === sandboxKey ? 'up' : undefined,
    async release(sandboxKey, endpointId) {
      await begin('release');
      await setImmediate();
      if (guarded.get(endpointId)?.sandboxKey === sandboxKey) {
        guarded.delete(endpointId);
      }
    },
    async close() {},
  };
}
