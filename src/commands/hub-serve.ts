import { join } from 'node:path';
import { dockerUserFirewall } from '../hub/docker-user.ts';
import { makePrivateKey, readHubConfig, securePrivateKey } from '../hub/files.ts';
import { createHub, hubOwner } from '../hub/hub.ts';
import { openHubState } from '../hub/state.ts';
import { watchHub } from '../hub/watch.ts';
import { backends, selectLinks } from '../links/select.ts';
import { notifyReady } from '../service/notify.ts';
import { lockState } from '../state/lock.ts';
import { createMarker } from '../state/marker.ts';
import { markOf } from '../wireguard/link-alias.ts';
import { oneOf, strictCommand } from './command.ts';
import { becomeDaemon, stopSignal } from './daemon.ts';
import { hubFileOf, hubHost, hubLinkOptions, hubStateFolder, requireRootFor } from './hub-options.ts';
import { logOf, logOptions } from './log-options.ts';

export default strictCommand({
  meta: {
    name: 'serve',
    description: 'Keep the hub’s link as its file describes it, until SIGTERM; SIGHUP reloads the file',
  },
  args: {
    ...hubLinkOptions,
    ...logOptions,
  },
  maxPositionals: 0,
  async run(args) {
    const backend = oneOf('backend', backends, args.backend);
    const log = logOf(args);
    requireRootFor('serve');
    const stop = stopSignal();
    let reload = () => {};
    process.on('SIGHUP', () => reload());
    await becomeDaemon();

    const file = hubFileOf(args);
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
        making: createMarker(join(stateFolder, 'making')),
        log,
        readPrivateKey: securePrivateKey,
        makePrivateKey,
      });
      await watchHub({
        hub,
        file,
        log,
        stop,
        onLoaded: async () => {
          await notifyReady(process.env);
          log.info('serving', { file, link: config.interface });
        },
        onReload: (callback) => {
          reload = callback;
        },
      });
      log.info('hub stopped; the tunnels stay up', { link: config.interface });
    } finally {
      await unlock();
    }
  },
});
