import { rm } from 'node:fs/promises';
import { after, afterEach } from 'node:test';
import { run } from './commands.ts';
import type { Daemon } from './daemon.ts';
import { startDriver } from './driver.ts';
import { askEngine, type Engine, importTestImage, startEngine, testImage } from './engine.ts';
import { article, type Hub, startArticleHub } from './hub.ts';
import { expectNoTraceSince, takeTraces } from './traces.ts';
import { findTunnel, type Tunnel } from './tunnel.ts';

/** A host as a user has it: an engine, the driver, and a hub one hop away that knows the article's keys. */
export interface Host {
  readonly tunnel: Tunnel;
  readonly engine: Engine;
  readonly hub: Hub;
  driver: Daemon;
  /** Creates a network with the article's options, changed or added to by `options`. */
  createNetwork(name: string, settings?: NetworkSettings): Promise<string>;
  /** Starts a container that sleeps; its further `docker run` arguments come first. */
  startContainer(name: string, ...args: readonly string[]): Promise<string>;
  exec(container: string, ...command: readonly string[]): Promise<string>;
  /** Runs a program of the host in a container's network namespace. */
  enter(container: string, file: string, ...args: readonly string[]): Promise<string>;
  /** What `wg show LINK FIELD` says of a container's link, the first that the engine counted. */
  wgShow(container: string, field: string): Promise<string>;
  /** Sends pings from a container until one is answered. @throws Error if none of 15 is */
  ping(container: string, address: string): Promise<void>;
  /** Removes every container and network. */
  clear(): Promise<void>;
  /** Engine and driver anew, after whatever has happened to them, and without containers and networks. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface NetworkSettings {
  /** The usual one unless set. */
  readonly driver?: string;
  readonly subnet?: string;
  readonly options?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

let shared: Promise<Host> | undefined;

/**
 * A host for the tests of a process, whether that runs one file or all. After each test everything is
 * removed, and nothing may be left of it: no link, process, socket, namespace or state.
 */
export function hostForTests(): Promise<Host> {
  shared ??= openForTests();
  return shared;
}

async function openForTests(): Promise<Host> {
  const host = await startHost().catch((error: Error) => {
    // What has started would keep this process waiting, and dies with it.
    console.error(error);
    process.exit(1);
  });
  // What a test of another file left when it failed.
  await host.clear();
  let traces = await takeTraces();
  afterEach(async () => {
    try {
      await host.clear();
      await expectNoTraceSince(traces);
    } catch (error) {
      // One fault is one failure: the tests after it have a host that works, and what is left is not left by them.
      await host.restart().catch((afterwards: Error) => {
        throw new AggregateError([error, afterwards], 'and then engine and driver did not start anew');
      });
      traces = await takeTraces();
      throw error;
    }
  });
  after(() => host.close());
  return host;
}

export const driverName = 'wireguard-plugin';

export async function startHost(...engineArgs: readonly string[]): Promise<Host> {
  const tunnel = await findTunnel();
  const driver = await startDriver('--backend', tunnel.backend);
  const engine = await startEngine(...engineArgs);
  await importTestImage(engine);
  const hub = await startArticleHub({ tunnel });

  const host: Host = {
    tunnel,
    engine,
    hub,
    driver,

    createNetwork(name, { driver = driverName, subnet = article.subnet, options = {}, args = [] } = {}) {
      const all = {
        peer: hub.endpoint,
        peerkey: hub.publicKey,
        seed: article.seed,
        additional: article.additional,
        ...options,
      };
      const optionArgs = Object.entries(all)
        .filter(([, value]) => value !== '')
        .flatMap(([option, value]) => ['-o', `io.bestov.wg.${option}=${value}`]);
      return engine.docker(
        'network',
        'create',
        '-d',
        driver,
        `--subnet=${subnet}`,
        ...optionArgs,
        ...args,
        name,
      );
    },

    startContainer: (name, ...args) =>
      engine.docker('run', '-d', '--name', name, '--hostname', name, ...args, testImage, 'sleep', '100000'),

    exec: (container, ...command) => engine.docker('exec', container, ...command),

    async enter(container, file, ...args) {
      return run('nsenter', [`--target=${await pidOf(container)}`, '--net', file, ...args]);
    },

    async wgShow(container, field) {
      if (tunnel.backend !== 'userspace') {
        return host.enter(container, 'wg', 'show', 'wg0', field);
      }
      // A userspace implementation's socket keeps the name that the link had on the host.
      const { Networks } = (await inspect(container)).NetworkSettings;
      const endpoints = Object.values(Networks).map(({ EndpointID }) => EndpointID.slice(0, 12));
      const handedOver = new RegExp(`link handed over .*endpoint=(?:${endpoints.join('|')}) .*link=(\\S+)`);
      const link = handedOver.exec(host.driver.output())?.[1] ?? 'none';
      return run('wg', ['show', link, field]);
    },

    ping: pingFrom,

    async clear() {
      const containers = ((await askEngine('GET', '/containers/json?all=1')) as { Id: string }[]).map(
        ({ Id }) => Id,
      );
      // 20.10 miscounts endpoints that go at once (moby issue 42119), and keeps their network for ever.
      const atOnce = engine.version.startsWith('20.10.') ? 1 : 10;
      for (let i = 0; i < containers.length; i += atOnce) {
        await Promise.all(
          containers.slice(i, i + atOnce).map((id) => askEngine('DELETE', `/containers/${id}?force=1`)),
        );
      }
      await askEngine('POST', '/networks/prune');
    },

    async restart() {
      await engine.stop();
      await host.driver.stop();
      // Of networks: images stay, and containers, whose removal needs no network.
      await rm('/var/lib/docker/network', { recursive: true, force: true });
      host.driver = await startDriver('--backend', tunnel.backend);
      await engine.start();
      await host.clear();
    },

    async close() {
      await engine.stop();
      await host.driver.stop();
      await hub.close();
    },
  };
  return host;
}

interface Container {
  readonly State: { readonly Pid: number };
  readonly HostConfig: { readonly Dns: readonly string[] };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { readonly EndpointID: string }>> };
}

/** What `docker inspect` says of a container. */
export const inspect = async (container: string) =>
  (await askEngine('GET', `/containers/${container}/json`)) as Container;

/** The process of a container, as the host sees it. */
export const pidOf = async (container: string) => (await inspect(container)).State.Pid;

/**
 * A handshake may take a retry, and a userspace implementation looks once a second whether its link is up. Without a
 * route, which the kill switch makes a moment after the link has come, ping fails at once.
 */
export const pingUntilAnswered =
  'i=0; until ping -c 1 -W 1 "$1"; do i=$((i + 1)); [ "$i" -lt 15 ] || exit 1; sleep 1; done';

/** As of Host. Not by `docker exec`, which takes ten times as much of the processor. */
export async function pingFrom(container: string, address: string): Promise<void> {
  const target = `--target=${await pidOf(container)}`;
  await run('nsenter', [target, '--all', 'sh', '-c', pingUntilAnswered, 'sh', address]);
}
