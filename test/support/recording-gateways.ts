import { GatewayError, type Gateways } from '../../src/gateway/gateways.ts';
import type { Gateway, Inside, Port } from '../../src/gateway/setup.ts';
import type { RecordingLinks } from './recording-links.ts';

/** Gateways that are kept in memory, with the contract of src/gateway/gateways.ts, for tests of what is above them. */
export interface RecordingGateways extends Gateways {
  /** By the ids of the processes that hold them. */
  readonly kept: ReadonlyMap<
    number,
    { readonly ports: ReadonlyMap<string, Port>; readonly gateway?: Gateway }
  >;
  /** What running containers were given again. */
  readonly reattached: readonly { readonly sandbox: string; readonly inside: Inside }[];
  /** Lets a namespace go, as when somebody kills its process. */
  lose(pid: number): void;
  /** Makes the next `open` fail. */
  failToOpen(): void;
}

/** @param links whose tunnels’ links are taken into namespaces */
export function recordingGateways(links?: RecordingLinks): RecordingGateways {
  const kept = new Map<number, { ports: Map<string, Port>; gateway?: Gateway }>();
  const reattached: { sandbox: string; inside: Inside }[] = [];
  let lastPid = 100;
  let isFailing = false;
  const entryOf = (pid: number) => {
    const entry = kept.get(pid);
    if (entry === undefined) {
      throw new GatewayError('enter the namespace', 'it is gone', 'ENODEV');
    }
    return entry;
  };
  return {
    kept,
    reattached,
    lose: (pid) => void kept.delete(pid),
    failToOpen() {
      isFailing = true;
    },
    probe: async () => {},
    async begin() {
      const pid = ++lastPid;
      return {
        keeper: { pid, startTime: String(pid) },
        stay: () => void kept.set(pid, { ports: new Map() }),
      };
    },
    isKept: async ({ pid }) => kept.has(pid),
    async open({ pid }, gateway) {
      if (isFailing) {
        isFailing = false;
        throw new GatewayError('set up the gateway', 'Operation not permitted');
      }
      entryOf(pid).gateway = gateway;
      links?.take(gateway.link);
    },
    async renew({ pid }, gateway) {
      entryOf(pid).gateway = gateway;
    },
    async attach({ pid }, port) {
      entryOf(pid).ports.set(port.name, port);
    },
    ports: async ({ pid }) => new Set(entryOf(pid).ports.keys()),
    async reattach({ pid }, port, _endpointId, sandbox, inside) {
      if (sandbox === '/gone') {
        return false;
      }
      entryOf(pid).ports.set(port.name, port);
      reattached.push({ sandbox, inside });
      return true;
    },
    async detach({ pid }, name) {
      kept.get(pid)?.ports.delete(name);
    },
    async end({ pid }) {
      kept.delete(pid);
    },
  };
}
