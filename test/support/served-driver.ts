import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endpointFiles } from '../../build/host/state.ts';
import { capabilitiesOf, createDriver, type Scope } from '../../src/driver/driver.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { defaultLimits, type Limits, type PluginServer, servePlugin } from '../../src/plugin/server.ts';
import { createMarker } from '../../src/state/marker.ts';
import { openStore } from '../../src/state/store.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { connectEngine, type EngineConnection } from './engine-client.ts';
import { type LogLine, recordedLog } from './recorded-log.ts';
import { recordingGateways } from './recording-gateways.ts';
import { type RecordingGuard, recordingGuard } from './recording-guard.ts';
import { type RecordingLinks, recordingLinks } from './recording-links.ts';
import { usualUplinks } from './uplinks.ts';

/** The real driver with its real store behind the real server, on links in memory. */
export interface ServedDriver {
  /** A folder of its own, for the state, the socket and what a test puts there. */
  readonly folder: string;
  readonly socket: string;
  readonly links: RecordingLinks;
  readonly guard: RecordingGuard;
  readonly lines: readonly LogLine[];
  /** The addresses of host names. */
  readonly names: Map<string, string>;
  connect(): Promise<EngineConnection>;
  /** One call on a connection of its own; resolves with the body of the answer. */
  call(method: string, body?: unknown): Promise<unknown>;
  /** All that could have been left behind: files of state, links. */
  traces(): Promise<{ networks: string[]; endpoints: string[]; links: string[] }>;
  /** Ends the server, and starts another on the same folder and links. */
  restart(): Promise<void>;
  /** Ends the server alone. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

interface Setting {
  readonly scope?: Scope;
  readonly hasIpv6?: boolean;
  readonly limits?: Partial<Limits>;
  readonly engineHas?: (networkId: string) => Promise<boolean | undefined>;
}

export async function serveDriver({ limits, scope = 'local', ...more }: Setting = {}): Promise<ServedDriver> {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-served-'));
  const socket = join(folder, 'plugin.sock');
  const state = join(folder, 'state');
  const links = recordingLinks();
  const guard = recordingGuard();
  const log = recordedLog();
  const names = new Map<string, string>();
  const connections = new Set<EngineConnection>();

  const hubNames = createHubNames({
    async resolve(host) {
      const address = parseAddress(names.get(host) ?? '');
      return address === undefined ? [] : [address];
    },
    log,
  });

  async function start(): Promise<PluginServer> {
    const store = await openStore(state, log);
    const driver = createDriver({
      store,
      links,
      guard,
      gateways: recordingGateways(),
      hubNames,
      log,
      secretsFolder: folder,
      uplinksTo: usualUplinks,
      scope,
      reloadMarker: createMarker(join(state, 'reload')),
      ...more,
    });
    const plugin = {
      capabilities: capabilitiesOf(scope),
      driver: async () => driver,
      health: async () => ({ ready: true, endpoints: [] }),
      reload: async (ids: readonly string[]) => ({ networks: await driver.reload.reload(ids) }),
      metrics: async () => '',
    };
    return servePlugin(plugin, { path: socket }, log, { ...defaultLimits, ...limits });
  }

  async function connect(): Promise<EngineConnection> {
    const connection = await connectEngine(socket);
    connections.add(connection);
    void connection.ended().then(() => connections.delete(connection));
    return connection;
  }

  let server = await start();
  return {
    folder,
    socket,
    links,
    guard,
    lines: log.lines,
    names,
    connect,
    async call(method, body) {
      const connection = await connect();
      const { body: answer } = await connection.call(method, body);
      connection.hangUp();
      return answer;
    },
    traces: async () => ({
      networks: (await readdir(join(state, 'networks'))).sort(),
      endpoints: await endpointFiles(state),
      links: [...links.present.keys()].sort(),
    }),
    async restart() {
      await server.close();
      server = await start();
    },
    stop: () => server.close(),
    async close() {
      for (const connection of connections) {
        connection.hangUp();
      }
      await server.close();
      await rm(folder, { recursive: true });
    },
  };
}
