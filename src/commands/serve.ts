import { lookup } from 'node:dns/promises';
import { join, resolve } from 'node:path';
import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import packageJson from '../../package.json' with { type: 'json' };
import { capabilitiesOf, createDriver, scopes, type WireGuardDriver } from '../driver/driver.ts';
import { createHubNames, lookUpsAtOnce } from '../driver/hub-names.ts';
import { keptFor } from '../driver/once.ts';
import { removalsAtOnce } from '../driver/removal.ts';
import { runSchedule } from '../driver/schedule.ts';
import { createEngine } from '../engine/client.ts';
import { defaultSocket } from '../engine/docker-host.ts';
import { keptNames } from '../engine/names.ts';
import { programGateways } from '../gateway/gateways.ts';
import { createGuard } from '../killswitch/killswitch.ts';
import { selectNamespaces } from '../killswitch/select.ts';
import { backends, selectLinks } from '../links/select.ts';
import type { Fields, Log } from '../log.ts';
import { createCounters } from '../metrics/metrics.ts';
import { metricsRoute, type Plugin } from '../plugin/calls.ts';
import type { Driver } from '../plugin/driver.ts';
import { createReadiness, type RefusedRemovals } from '../plugin/readiness.ts';
import { metricsLimits, servePlugin, serveRoutes } from '../plugin/server.ts';
import { inheritedSocket } from '../plugin/socket.ts';
import { notifyReady, notifyStatus } from '../service/notify.ts';
import { lockState } from '../state/lock.ts';
import { createMarker } from '../state/marker.ts';
import { openStore, type Store } from '../state/store.ts';
import { type Address, parseAddress } from '../wireguard/address.ts';
import { markOf } from '../wireguard/link-alias.ts';
import { oneOf, strictCommand } from './command.ts';
import { becomeDaemon, stopSignal } from './daemon.ts';
import { metricsOf } from './endpoint-metrics.ts';
import { engineSocketOf, secretsOption } from './host-options.ts';
import { logOf, logOptions } from './log-options.ts';
import { askMs, engineHas, forgetLostNetworks } from './lost-networks.ts';
import { metricsAddressOf } from './metrics-address.ts';
import { named } from './named-status.ts';
import { pluginOptions, pluginSocketOf } from './plugin-options.ts';
import { tellStranded } from './tell-stranded.ts';

/** How long calls wait for a driver that starts. A managed plugin's may take 30 s in all. */
const startMs = 10_000;

/** From a start that failed to the next. */
const retryMs = 5000;

/** For so long the links that a scrape has read serve the next one. */
const readingLastsMs = 2000;

export default strictCommand({
  meta: {
    name: 'serve',
    description: 'Run the network driver for the Docker engine, until SIGTERM or SIGINT',
  },
  args: {
    ...pluginOptions,
    name: { ...pluginOptions.name, default: setting('name', pluginOptions.name.default) },
    'state-dir': {
      type: 'string',
      default: '/var/lib/wgdriver',
      valueHint: 'FOLDER',
      description: 'Where networks and endpoints are stored; each driver needs a folder of its own',
    },
    backend: {
      type: 'string',
      default: setting('backend', 'auto'),
      valueHint: backends.join('|'),
      description: 'How to make links; auto uses the kernel’s WireGuard where possible',
    },
    scope: {
      type: 'string',
      default: setting('scope', 'local'),
      valueHint: scopes.join('|'),
      description: 'Who assigns addresses: each host (local) or a Swarm’s managers (global)',
    },
    ...secretsOption,
    metrics: {
      type: 'string',
      valueHint: 'ADDRESS:PORT|unix:PATH',
      description: 'Also serve Prometheus metrics at this address, such as 127.0.0.1:9586',
    },
    'metrics-public': {
      type: 'boolean',
      description:
        'Allow a --metrics address that other hosts can reach, which tells them the names of containers',
    },
    ...logOptions,
    'log-level': { ...logOptions['log-level'], default: setting('log-level', 'info') },
  },
  maxPositionals: 0,
  async run(args) {
    const path = pluginSocketOf(args);
    const backend = oneOf('backend', backends, args.backend);
    const secretsFolder = resolve(args['secrets-dir']);
    const metricsAddress =
      args.metrics === undefined
        ? undefined
        : metricsAddressOf(args.metrics, args['metrics-public'] ?? false);
    const scope = oneOf('scope', scopes, args.scope);
    const log = logOf(args);
    if (process.getuid?.() !== 0) {
      throw new Error('serve makes network links and needs root: start it as root');
    }
    // libuv’s threads, of which it starts with its first task so many, and gives look-ups half of; they take next to
    // no memory.
    process.env.UV_THREADPOOL_SIZE ??= String(removalsAtOnce + 2 + 2 * lookUpsAtOnce);
    // A look-up that hangs cannot be given up, and keeps the process from ending; 10 s is what glibc takes by itself.
    process.env.RES_OPTIONS ??= 'timeout:2 attempts:2';
    const stop = stopSignal();
    // It waits most of its time, and runs on every host: memory counts for more than speed.
    setFlagsFromString('--optimize-for-size');
    await becomeDaemon();

    const socket = inheritedSocket(process.env, process.pid) ?? { path };
    const readiness = createReadiness(startMs);
    const build = { version: packageJson.version, runtime: runtimeName(), backend: 'none yet' };
    const counters = createCounters(build);
    let driver: WireGuardDriver | undefined;
    const engineSocket = ownEngineSocket(log);
    const engine = createEngine(engineSocket);
    const quickEngine = createEngine(engineSocket, askMs);
    const names = keptNames(engine);
    // For the first scrape.
    names();
    // Whoever reaches the port for metrics has all links read no more often than that.
    const scraped = keptFor(readingLastsMs, async () => (await driver?.status()) ?? []);
    const plugin: Plugin = {
      capabilities: capabilitiesOf(scope),
      driver: readiness.driver,
      async health() {
        const endpoints = (await driver?.status()) ?? [];
        return { ...readiness.state(), endpoints: endpoints.map(({ status }) => named(status, names())) };
      },
      async reload(networks) {
        if (driver === undefined) {
          throw new Error(`the driver is not ready: ${readiness.state().missing}`);
        }
        return { networks: await driver.reload.reload(networks) };
      },
      async metrics() {
        const endpoints = await scraped();
        return counters.format(endpoints.map((endpoint) => metricsOf(endpoint, names())));
      },
      observe: counters.observeCall,
    };
    // Before all else: at boot the engine waits for whoever has the socket and does not answer. With a second driver on
    // the same socket this one does not begin.
    const server = await servePlugin(plugin, socket, log);
    const closers: (() => Promise<void>)[] = [];
    const end = new AbortController();
    const isOver = AbortSignal.any([stop, end.signal]);
    const where: Fields = 'path' in socket ? { socket: socket.path } : { fd: socket.fd };
    try {
      log.info('listening', where);
      await notifyReady(process.env);
      if (metricsAddress !== undefined) {
        const persistBeside = createPersistence(isOver, async (cause) =>
          log.error('metrics are not served yet; trying again', { cause }),
        );
        // Containers do not wait for them, nor is the driver less ready without.
        const metricsServer = persistBeside(() =>
          // Whoever reaches it does not fill the log.
          serveRoutes(
            new Map([metricsRoute(plugin)]),
            metricsAddress,
            { ...log, warn: log.debug },
            metricsLimits,
          ),
        ).catch(() => undefined);
        closers.push(async () => (await metricsServer)?.close());
      }
      const persist = createPersistence(isOver, async (cause) => {
        readiness.refuse(cause);
        log.error('not ready: Docker’s calls are refused', { cause });
        await notifyStatus(process.env, `not ready: ${cause}`);
      });
      const links = await persist(() => selectLinks(backend, args.name, log));
      build.backend = links.backend;
      const { store, unlockState } = await persist(() => openState(resolve(args['state-dir']), log));
      closers.push(unlockState);
      const guard = createGuard(selectNamespaces(args.name), markOf(args.name), log);
      closers.push(() => guard.close());
      const hubNames = createHubNames({ resolve: addressesOf, log });
      const made = createDriver({
        store,
        links,
        guard,
        gateways: programGateways(markOf(args.name)),
        hubNames,
        log,
        secretsFolder,
        scope,
        engineHas: (networkId) => engineHas(quickEngine, networkId),
        reloadMarker: createMarker(join(resolve(args['state-dir']), 'reload')),
        onFailure: (of) =>
          of === 'reconcile' ? counters.countReconcileFailure() : counters.countHealingFailure(),
      });
      // Making a namespace holds up everything beside it. CreateNetwork says what is missing, where it matters.
      await guard.probe().catch(() => {});
      const refused = readiness.admit(made);
      driver = made;
      log.info('serving', where);
      void notifyStatus(process.env, 'serving');
      // What they write comes before the folder of state is another's.
      const background = Promise.all([
        runSchedule(made, makeUpFor(refused, made, log), isOver),
        forgetLostNetworks({ engine, driver: made, isOver, log }),
      ]);
      void tellStranded({ engine, driver: args.name, isOver, log });
      closers.push(async () => {
        await background;
        await made.close();
      });
      await aborted(stop);
    } catch (error) {
      if (!stop.aborted) {
        throw error;
      }
    } finally {
      log.info('stopping', { signal: stop.reason });
      readiness.refuse('it is stopping');
      end.abort();
      // Calls under way end; tunnels stay up. With its socket or its watch of namespaces the process would live on.
      await server.close();
      for (const close of closers.reverse()) {
        await close();
      }
    }
  },
});

/**
 * Makes a function that does a task, again and again until it works.
 *
 * @param complain is told each new cause
 */
function createPersistence(stop: AbortSignal, complain: (cause: string) => Promise<void>) {
  let known: string | undefined;
  return async <Result>(task: () => Promise<Result>): Promise<Result> => {
    for (;;) {
      try {
        return await task();
      } catch (error) {
        const cause = error instanceof Error ? error.message : String(error);
        if (cause !== known) {
          known = cause;
          await complain(cause);
        }
      }
      await setTimeoutAsync(retryMs, undefined, { signal: stop });
    }
  };
}

/** Of the engine of this host, which calls the driver, whatever engine this process's environment means. */
function ownEngineSocket(log: Log): string {
  try {
    return engineSocketOf({});
  } catch (error) {
    log.warn(`asking Docker on ${defaultSocket} instead`, { cause: (error as Error).message });
    return defaultSocket;
  }
}

/** Takes the folder for this process, and reads what is in it. */
async function openState(
  folder: string,
  log: Log,
): Promise<{ store: Store; unlockState: () => Promise<void> }> {
  const unlockState = await lockState(folder);
  try {
    return { store: await openStore(folder, log), unlockState };
  } catch (error) {
    await unlockState();
    throw error;
  }
}

/** The engine has forgotten what it removed while this driver was not ready. */
async function makeUpFor({ endpoints, networks }: RefusedRemovals, driver: Driver, log: Log): Promise<void> {
  const attempt = (fields: Fields, removal: Promise<void>) =>
    removal.catch((error) => {
      log.warn('a removal that was refused at startup failed again', {
        ...fields,
        cause: String(error),
      });
    });
  await Promise.all(
    endpoints.map((request) => attempt({ endpoint: request.EndpointID }, driver.deleteEndpoint(request))),
  );
  await Promise.all(
    networks.map((request) => attempt({ network: request.NetworkID }, driver.deleteNetwork(request))),
  );
}

function runtimeName(): string {
  return 'Deno' in globalThis ? `deno ${process.versions.deno}` : `node ${process.versions.node}`;
}

/**
 * What an option is unless it is given: WGDRIVER_LOG_LEVEL for --log-level, since a managed plugin's settings come
 * by its environment; empty counts as unset.
 */
function setting(option: string, otherwise: string): string {
  return process.env[`WGDRIVER_${option.toUpperCase().replaceAll('-', '_')}`] || otherwise;
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  }
}

/** As the host's other programs resolve names: /etc/hosts, DNS and whatever nsswitch.conf(5) says. */
async function addressesOf(host: string): Promise<readonly Address[]> {
  const answers = await lookup(host, { all: true });
  return answers.flatMap(({ address }) => parseAddress(address) ?? []);
}
