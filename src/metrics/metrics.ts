import { formatPrefix } from '../wireguard/address.ts';
import type { LinkStatus } from '../wireguard/status.ts';
import { createHistogram } from './histogram.ts';
import { formatMetrics, type Metric, type Sample } from './text.ts';

/** One container on one of our networks, as it is now. */
export interface EndpointMetrics {
  /** A name, or the id where no name is known. */
  readonly network: string;
  /** A name, or the id where no name is known. */
  readonly container: string;
  readonly address: string;
  /** Undefined if it could not be read, or is not there yet. */
  readonly link: LinkStatus | undefined;
  /** Is it the network’s, whose containers share it? Its samples are of no container then, and there once. */
  readonly isLinkShared: boolean;
  /** Undefined with killswitch=off, and of a container that is only about to be protected. */
  readonly isProtected: boolean | undefined;
}

export interface BuildInfo {
  readonly version: string;
  /** Such as `node 26.9.0`. */
  readonly runtime: string;
  /** `netlink`, `iproute` or `userspace`. */
  readonly backend: string;
}

/** What the driver counts from its start on. */
export interface Counters {
  /** @param call such as `Join`: one of the protocol's own, never what a client made up */
  observeCall(call: string, outcome: 'ok' | 'error', seconds: number): void;
  countReconcileFailure(): void;
  countHealingFailure(): void;
  /** The text for a scrape. The endpoints are read before, and never more of them than there are. */
  format(endpoints: readonly EndpointMetrics[]): string;
}

/** Seconds: a call without a link takes a few milliseconds, one with wireguard-go or a busy machine much longer. */
const callBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createCounters(build: BuildInfo): Counters {
  const calls = createHistogram(callBounds);
  let [reconcileFailures, healingFailures] = [0, 0];
  return {
    observeCall: (call, outcome, seconds) => calls.observe({ call, outcome }, seconds),
    countReconcileFailure() {
      reconcileFailures += 1;
    },
    countHealingFailure() {
      healingFailures += 1;
    },
    format: (endpoints) =>
      formatMetrics([
        ...peerMetrics(endpoints),
        ...endpointMetrics(endpoints),
        {
          name: 'wgdriver_call_duration_seconds',
          help: 'How long Docker’s calls took.',
          type: 'histogram',
          samples: calls.samples(),
        },
        counter(
          'wgdriver_reconcile_failures_total',
          'Failed attempts to clean up what was left behind.',
          reconcileFailures,
        ),
        counter('wgdriver_healing_failures_total', 'Failed attempts to repair a tunnel.', healingFailures),
        {
          name: 'wgdriver_build_info',
          help: 'The version that is running; always 1.',
          type: 'gauge',
          samples: [{ labels: { ...build }, value: 1 }],
        },
      ]),
  };
}

/** Names and labels as prometheus_wireguard_exporter has them, so that its dashboards work; the last three are ours. */
function peerMetrics(endpoints: readonly EndpointMetrics[]): Metric[] {
  const shared = new Map(
    endpoints.filter(({ isLinkShared }) => isLinkShared).map((endpoint) => [endpoint.network, endpoint]),
  );
  const links = [
    ...endpoints.filter(({ isLinkShared }) => !isLinkShared),
    ...[...shared.values()].map((endpoint) => ({ ...endpoint, container: '', address: '' })),
  ];
  const peers = links.flatMap(({ link, network, container, address }) =>
    (link?.peers ?? []).map((peer) => ({
      peer,
      labels: {
        interface: link?.name ?? '',
        public_key: peer.publicKey,
        allowed_ips: peer.allowedIps.map(formatPrefix).join(','),
        network,
        container,
        address,
      },
    })),
  );
  return [
    {
      name: 'wireguard_sent_bytes_total',
      help: 'Bytes sent to the peer.',
      type: 'counter',
      samples: peers.map(({ labels, peer }) => ({ labels, value: peer.sentBytes })),
    },
    {
      name: 'wireguard_received_bytes_total',
      help: 'Bytes received from the peer.',
      type: 'counter',
      samples: peers.map(({ labels, peer }) => ({ labels, value: peer.receivedBytes })),
    },
    {
      name: 'wireguard_latest_handshake_seconds',
      help: 'UNIX time of the last handshake with the peer; 0 if there was none.',
      type: 'gauge',
      samples: peers.map(({ labels, peer }) => ({
        labels,
        value: Math.floor((peer.lastHandshake?.getTime() ?? 0) / 1000),
      })),
    },
  ];
}

function endpointMetrics(endpoints: readonly EndpointMetrics[]): Metric[] {
  const counts = new Map<string, number>();
  for (const { network } of endpoints) {
    counts.set(network, (counts.get(network) ?? 0) + 1);
  }
  const protection = endpoints.flatMap(({ network, container, address, isProtected }): Sample[] =>
    isProtected === undefined
      ? []
      : [{ labels: { network, container, address }, value: isProtected ? 1 : 0 }],
  );
  return [
    {
      name: 'wgdriver_endpoints',
      help: 'Containers on a network.',
      type: 'gauge',
      samples: [...counts].map(([network, value]) => ({ labels: { network }, value })),
    },
    {
      name: 'wgdriver_killswitch_up',
      help: 'Whether the kill switch was found in place in the container; absent with killswitch=off.',
      type: 'gauge',
      samples: protection,
    },
  ];
}

function counter(name: string, help: string, value: number): Metric {
  return { name, help, type: 'counter', samples: [{ labels: {}, value }] };
}
