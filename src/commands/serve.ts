import { lookup } from 'node:dns/promises';
import { resolve } from 'node:path';
import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { createDriver, scopes, type WireGuardDriver } from '../driver/driver.ts';
import { removalsAtOnce } from '../driver/lifecycle.ts';
import { createGuard } from '../killswitch/guard.ts';
import { selectNamespaces } from '../killswitch/select.ts';
import { markOf } from '../links/mark.ts';
import { backends, selectLinks } from '../links/select.ts';
import { createLog, logFormats, logLevels } from '../log.ts';
import { servePlugin } from '../plugin/server.ts';
import { claimSocket, inheritedSocket } from '../plugin/socket.ts';
import { notifyReady } from '../service/notify.ts';
import { lockState } from '../state/lock.ts';
import { openStore } from '../state/store.ts';
import { type Address, parseAddress } from '../wireguard/address.ts';
import { oneOf, strictCommand } from './command.ts';
import { secretsOption } from './host-options.ts';
import { pluginOptions, pluginSocketOf } from './plugin-options.ts';

/** From the start to the second look at what was left behind, which acts on what the first one saw. */
const secondLookMs = 10_000;

/** From each later look to the next. */
const reconcileMs = 120_000;

/** How long a name may take to resolve. */
const resolveMs = 10_000;

export default strictCommand({
  meta: {
    name: 'serve',
    description: 'Serve the network driver to the Docker engine, until SIGTERM or SIGINT',
  },
  args: {
    ...pluginOptions,
    name: { ...pluginOptions.name, default: setting('name', pluginOptions.name.default) },
    'state-dir': {
      type: 'string',
      default: '/var/lib/wgdriver',
      valueHint: 'FOLDER',
      description: 'Where networks and endpoints are kept; each driver needs one of its own',
    },
    backend: {
      type: 'string',
      default: setting('backend', 'auto'),
      valueHint: backends.join('|'),
      description: 'How links are made: auto takes the kernel where it can',
    },
    scope: {
      type: 'string',
      default: setting('scope', 'local'),
      valueHint: scopes.join('|'),
      description: 'Who gives away addresses: each host its own, or a Swarm’s managers (global)',
    },
    ...secretsOption,
    'log-level': {
      type: 'string',
      default: setting('log-level', 'info'),
      valueHint: logLevels.join('|'),
      description: 'What is logged',
    },
    'log-format': {
      type: 'string',
      default: 'text',
      valueHint: logFormats.join('|'),
      description: 'How it is logged',
    },
  },
  maxPositionals: 0,
  async run(args) {
    const path = pluginSocketOf(args);
    const backend = oneOf('backend', backends, args.backend);
    const secretsFolder = resolve(args['secrets-dir']);
    const scope = oneOf('scope', scopes, args.scope);
    const log = createLog({
      level: oneOf('log-level', logLevels, args['log-level']),
      format: oneOf('log-format', logFormats, args['log-format']),
    });
    if (process.getuid?.() !== 0) {
      throw new Error('serve makes network links and needs root: start it as root');
    }
    // It waits most of its time, and runs on every host: memory counts for more than speed.
    setFlagsFromString('--optimize-for-size');
    // libuv’s threads, of which it starts with its first task so many; they take next to no memory.
    process.env.UV_THREADPOOL_SIZE ??= String(removalsAtOnce + 2);
    // Everything made from here on, the socket included, is root's alone from its first moment.
    process.umask(0o077);
    const stop = stopSignal();

    // Before anything is touched: with a second driver on the same socket, this one must not begin.
    const socket = inheritedSocket(process.env, process.pid) ?? { path };
    if ('path' in socket) {
      await claimSocket(socket.path);
    }
    const links = await selectLinks(backend, args.name, log);
    const stateFolder = resolve(args['state-dir']);
    const unlockState = await lockState(stateFolder);
    const store = await openStore(stateFolder, log);
    const guard = createGuard(selectNamespaces(), markOf(args.name), log);
    const driver = createDriver({ store, links, guard, resolveHost, log, scope, secretsFolder });
    // Whatever fails from here on, the process ends: with its socket or its watch of namespaces it would live on.
    try {
      // What protects containers is there, and is brought up to date while the engine is served.
      void driver.protectAll();
      // Making a namespace holds up everything beside it. CreateNetwork says what is missing, where it matters.
      await guard.probe().catch(() => {});
      await driver.reconcile();

      const server = await servePlugin(driver, socket, log);
      try {
        log.info('serving', 'path' in socket ? { socket: socket.path } : { fd: socket.fd });
        await notifyReady(process.env);
        void keepReconciling(driver);
        log.info('stopping', { signal: await stop });
      } finally {
        // Calls under way end; tunnels stay up.
        await server.close();
      }
    } finally {
      await guard.close();
      await unlockState();
    }
  },
});

async function keepReconciling(driver: WireGuardDriver): Promise<never> {
  await setTimeoutAsync(secondLookMs, undefined, { ref: false });
  for (;;) {
    await driver.reconcile();
    await setTimeoutAsync(reconcileMs, undefined, { ref: false });
  }
}

/**
 * What an option is unless it is given: WGDRIVER_LOG_LEVEL for --log-level, since a managed plugin's settings come
 * by its environment; empty counts as unset.
 */
function setting(option: string, otherwise: string): string {
  return process.env[`WGDRIVER_${option.toUpperCase().replaceAll('-', '_')}`] || otherwise;
}

/**
 * The first signal that asks to stop. The listeners stay to the end: signal-exit, in write-file-atomic,
 * takes a process without any for one that is to die of the signal, and kills it in the middle of a write.
 */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.on('SIGTERM', resolve);
    process.on('SIGINT', resolve);
  });
}

async function resolveHost(host: string): Promise<Address> {
  const found = parseAddress(host) ?? parseAddress((await look(host)) ?? '');
  if (found === undefined) {
    throw new Error(`the hub’s name ${host} cannot be resolved on this host; check its spelling and DNS`);
  }
  return found;
}

/** Undefined if there is no answer in time, too: the engine waits for its Join, and a managed one 30 s. */
async function look(host: string): Promise<string | undefined> {
  try {
    const answer = await Promise.race([lookup(host), setTimeoutAsync(resolveMs, undefined, { ref: false })]);
    return answer?.address;
  } catch {
    return undefined;
  }
}
