import { resolve } from 'node:path';
import type { Port } from '../plugin/server.ts';
import type { SocketSource } from '../plugin/socket.ts';
import { parseAddress } from '../wireguard/address.ts';
import { parseHostPort } from '../wireguard/host-port.ts';
import { UsageError } from './command.ts';
import { refuseLongPath } from './plugin-options.ts';

/**
 * Where metrics are served: `127.0.0.1:9586`, `[::1]:9586` or `unix:/run/wgdriver-metrics.sock`.
 * @throws UsageError
 */
export function metricsAddressOf(text: string, isPublic: boolean): SocketSource | Port {
  if (text.startsWith('unix:') && text !== 'unix:') {
    const path = resolve(text.slice('unix:'.length));
    refuseLongPath('metrics', path);
    return { path, option: '--metrics' };
  }
  const { host, port } = parseHostPort(text) ?? {};
  const address = parseAddress(host ?? '');
  if (host === undefined || port === undefined || address === undefined) {
    throw new UsageError(`option --metrics: expected ADDRESS:PORT or unix:PATH, got ${text}`);
  }
  // They tell who is on this host, and whom it talks to.
  if (address.range() !== 'loopback' && !isPublic) {
    throw new UsageError(
      `option --metrics: other hosts can reach ${host}: use 127.0.0.1, or add --metrics-public`,
    );
  }
  return { host, port };
}
