import { lookup } from 'node:dns/promises';
import { join, resolve } from 'node:path';
import { createDriver } from '../driver/driver.ts';
import { openStore } from '../driver/store.ts';
import { sweepLinks } from '../driver/sweep.ts';
import { backends, selectLinks } from '../links/select.ts';
import { createLog, type Log, logFormats, logLevels } from '../log.ts';
import { type PluginServer, servePlugin } from '../plugin/server.ts';
import { inheritedSocket } from '../plugin/socket.ts';
import { type Address, parseAddress } from '../wireguard/address.ts';
import { oneOf, strictCommand, UsageError } from './command.ts';
import { defaultPluginName, pluginFolder, stateFolder } from './defaults.ts';

export default strictCommand({
  meta: {
    name: 'serve',
    description: 'Serve the network driver to the Docker engine, until SIGTERM or SIGINT',
  },
  args: {
    name: {
      type: 'string',
      default: defaultPluginName,
      valueHint: 'NAME',
      description: 'The driver’s name, as in `docker network create -d NAME`',
    },
    socket: {
      type: 'string',
      valueHint: 'PATH',
      description: `The unix socket (Default: ${pluginFolder}/NAME.sock)`,
    },
    'state-dir': {
      type: 'string',
      default: stateFolder,
      valueHint: 'FOLDER',
      description: 'Where networks and endpoints are kept; each driver needs one of its own',
    },
    backend: {
      type: 'string',
      default: 'auto',
      valueHint: backends.join('|'),
      description: 'How links are made: auto takes the kernel where it can',
    },
    'log-level': {
      type: 'string',
      default: 'info',
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
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(args.name)) {
      throw new UsageError('option --name: expected letters, digits, dot, dash and underscore, at most 64');
    }
    const backend = oneOf('backend', backends, args.backend);
    const log = createLog({
      level: oneOf('log-level', logLevels, args['log-level']),
      format: oneOf('log-format', logFormats, args['log-format']),
    });
    if (process.getuid?.() !== 0) {
      throw new Error('serve makes network links and needs root: start it as root');
    }
    // Everything made from here on, the socket included, is root's alone from its first moment.
    process.umask(0o077);

    const links = await selectLinks(backend, args.name, log);
    const store = await openStore(resolve(args['state-dir']), log);
    await sweepLinks(store, links, log);
    const driver = createDriver({ store, links, resolveHost, log });

    const path = resolve(args.socket ?? join(pluginFolder, `${args.name}.sock`));
    const socket = inheritedSocket(process.env, process.pid) ?? { path };
    const server = await servePlugin(driver, socket, log);
    log.info('serving', 'path' in socket ? { socket: socket.path } : { fd: socket.fd });
    await stopped(server, log);
  },
});

/** Resolves when a signal has asked to stop and the calls under way have ended. Tunnels stay up. */
function stopped(server: PluginServer, log: Log): Promise<void> {
  return new Promise((done) => {
    const stop = (signal: NodeJS.Signals) => {
      log.info('stopping', { signal });
      void server.close().then(done);
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
  });
}

async function resolveHost(host: string): Promise<Address> {
  const found = parseAddress(host) ?? parseAddress((await look(host)) ?? '');
  if (found === undefined) {
    throw new Error(`the hub’s name ${host} cannot be resolved on this host; check its spelling and DNS`);
  }
  return found;
}

async function look(host: string): Promise<string | undefined> {
  try {
    return (await lookup(host)).address;
  } catch {
    return undefined;
  }
}
