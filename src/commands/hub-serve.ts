import { resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { ensurePrivateKey, readHubConfig } from '../hub/files.ts';
import { dockerUserFirewall } from '../hub/firewall.ts';
import { createHub, hubOwner } from '../hub/hub.ts';
import { keepHub } from '../hub/keep.ts';
import { openHubState } from '../hub/state.ts';
import { backends, selectLinks } from '../links/select.ts';
import { createLog, logFormats, logLevels } from '../log.ts';
import { notifyReady } from '../service/notify.ts';
import { lockState } from '../state/lock.ts';
import { markOf } from '../wireguard/link-alias.ts';
import { oneOf, strictCommand } from './command.ts';
import { hubHost, hubLinkOptions, hubStateFolder, requireRootFor } from './hub-options.ts';

export default strictCommand({
  meta: {
    name: 'serve',
    description: 'Keep the hub’s link as its file says, until SIGTERM; SIGHUP reloads the file',
  },
  args: {
    ...hubLinkOptions,
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
    const backend = oneOf('backend', backends, args.backend);
    const log = createLog({
      level: oneOf('log-level', logLevels, args['log-level']),
      format: oneOf('log-format', logFormats, args['log-format']),
    });
    requireRootFor('serve');
    // It waits most of its time: memory counts for more than speed.
    setFlagsFromString('--optimize-for-size');
    process.umask(0o077);
    const stop = new AbortController();
    // The listeners stay to the end: signal-exit, in write-file-atomic, ends a process that has none.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => stop.abort());
    }
    let reload = () => {};
    process.on('SIGHUP', () => reload());

    const file = resolve(args.config);
    const config = await readHubConfig(file);
    const links = await selectLinks(backend, hubOwner, log);
    const stateFolder = hubStateFolder(args, config);
    const unlock = await lockState(stateFolder);
    try {
      const hub = createHub({
        links,
        mark: markOf(hubOwner),
        host: hubHost(),
        firewall: dockerUserFirewall(),
        state: await openHubState(stateFolder),
        log,
        readPrivateKey: ensurePrivateKey,
      });
      await keepHub({
        hub,
        file,
        log,
        stop: stop.signal,
        onLoaded: async () => {
          await notifyReady(process.env);
          log.info('serving', { file, link: config.interface });
        },
        onReload: (callback) => {
          reload = callback;
        },
      });
      log.info('stopped; the tunnels stay up', { link: config.interface });
    } finally {
      await unlock();
    }
  },
});
