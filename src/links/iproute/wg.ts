import { formatPrefix, parsePrefix } from '../../wireguard/address.ts';
import type { DeviceChange, PeerChange } from '../../wireguard/change.ts';
import { interfaceSection, peerSection } from '../../wireguard/config/setconf.ts';
import { formatEndpoint, parseEndpoint } from '../../wireguard/device.ts';
import { type PresharedKey, parsePublicKey } from '../../wireguard/key.ts';
import type { DeviceStatus, PeerStatus } from '../../wireguard/status.ts';

/** Where `wg` reads secrets from. In a file they would be on a disk, and everybody can read arguments. */
const stdin = '/proc/self/fd/0';

/** The arguments of one run of `wg`, and what it is to read from its stdin. */
export interface WgRun {
  readonly args: readonly string[];
  /** Holds secrets. */
  readonly stdin?: string;
}

/**
 * A change of a link as runs of `wg` (wg(8)), to be made in their order. `wg addconf` takes any number of secrets, but
 * whole peers alone: it resets the preshared key and the allowed IPs of those that it names. `wg set` changes nothing
 * else, but a run has one stdin, and so one secret.
 * `wg` cannot only update: peers for that must be there.
 */
export function wgRuns(name: string, change: DeviceChange): WgRun[] {
  const { privateKey, listenPort, fwmark, peers = [] } = change;
  const runs: Run[] = [];
  if (privateKey !== undefined || listenPort !== undefined || fwmark !== undefined) {
    runs.push({ conf: [interfaceSection(change)] });
  }
  for (const peer of peers) {
    addPeer(runs, peer);
  }
  return runs.map((run) =>
    'conf' in run
      ? { args: ['addconf', name, stdin], stdin: run.conf.join('\n') }
      : { args: ['set', name, ...run.args], ...(run.secret && { stdin: `${run.secret.toBase64()}\n` }) },
  );
}

type Run = { readonly conf: string[] } | { readonly args: string[]; secret?: PresharedKey | undefined };

function addPeer(runs: Run[], peer: PeerChange): void {
  const { remove, presharedKey, allowedIps } = peer;
  const last = runs.at(-1);
  if (!remove && presharedKey && presharedKey !== 'none' && allowedIps) {
    const conf = peerSection({ ...peer, presharedKey, allowedIps });
    if (last !== undefined && 'conf' in last) {
      last.conf.push(conf);
    } else {
      runs.push({ conf: [conf] });
    }
    return;
  }
  const secret = remove || presharedKey === 'none' ? undefined : presharedKey;
  if (last !== undefined && 'args' in last && !(last.secret && secret)) {
    last.args.push(...peerArgs(peer));
    last.secret ??= secret;
  } else {
    runs.push({ args: peerArgs(peer), secret });
  }
}

function peerArgs(peer: PeerChange): string[] {
  const { publicKey, presharedKey, endpoint, persistentKeepaliveInterval, allowedIps } = peer;
  if (peer.remove) {
    return ['peer', publicKey, 'remove'];
  }
  return [
    'peer',
    publicKey,
    // "may be /dev/null to remove": an empty file is no key.
    ...(presharedKey === undefined ? [] : ['preshared-key', presharedKey === 'none' ? '/dev/null' : stdin]),
    ...(endpoint === undefined ? [] : ['endpoint', formatEndpoint(endpoint)]),
    ...(persistentKeepaliveInterval === undefined
      ? []
      : ['persistent-keepalive', String(persistentKeepaliveInterval)]),
    ...(allowedIps === undefined ? [] : ['allowed-ips', allowedIps.map(formatPrefix).join(',')]),
  ];
}

/**
 * A change as `wg` takes it, of a link with these peers. Peers that are only to be updated, and are not there, are left out: `wg`
 * would add them. Where a private and a preshared key change, the peer becomes a whole one: `wg` sets both in one run then. In
 * between, a handshake with one of them new would fail, and be tried again after five seconds.
 */
export function completed(change: DeviceChange, present: readonly PeerStatus[]): DeviceChange {
  const { privateKey, peers } = change;
  if (peers === undefined) {
    return change;
  }
  const allowedIps = new Map(present.map((peer) => [peer.publicKey, peer.allowedIps]));
  return {
    ...change,
    peers: peers
      .filter(({ publicKey, updateOnly }) => !updateOnly || allowedIps.has(publicKey))
      .map((peer) =>
        privateKey === undefined || peer.presharedKey === undefined
          ? peer
          : { allowedIps: allowedIps.get(peer.publicKey) ?? [], ...peer },
      ),
  };
}

/** Parses what `wg show NAME dump` prints (wg(8)), without the secrets. @throws Error if it is something else */
export function parseDump(dump: string): DeviceStatus {
  if (!dump.endsWith('\n')) {
    const got = dump === '' ? 'no output' : 'output that is cut short';
    throw new Error(`wg show dump: expected whole lines, got ${got}`);
  }
  const [device = [], ...peers] = dump
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'));
  const [, publicKey = '', listenPort, fwmark] = device;
  if (device.length !== 4) {
    throw new Error(`wg show dump: expected 4 fields of the device, got ${device.length}`);
  }
  return {
    publicKey: parsePublicKey(publicKey),
    listenPort: Number(listenPort),
    fwmark: fwmark === 'off' ? 0 : Number(fwmark),
    peers: peers.map(parsePeer),
  };
}

function parsePeer(fields: readonly string[]): PeerStatus {
  const [
    publicKeyText = '',
    presharedKey,
    endpoint = '',
    allowedIps = '',
    handshake,
    received,
    sent,
    keepalive,
  ] = fields;
  const publicKey = parsePublicKey(publicKeyText);
  if (publicKey === undefined || fields.length !== 8) {
    throw new Error(`wg show dump: expected a peer’s key and 7 more fields, got ${fields.length} fields`);
  }
  return {
    publicKey,
    hasPresharedKey: presharedKey !== '(none)',
    endpoint: parseEndpoint(endpoint),
    persistentKeepaliveInterval: keepalive === 'off' ? 0 : Number(keepalive),
    lastHandshake: handshake === '0' ? undefined : new Date(Number(handshake) * 1000),
    receivedBytes: Number(received),
    sentBytes: Number(sent),
    allowedIps: allowedIps.split(',').flatMap((text) => parsePrefix(text) ?? []),
  };
}
