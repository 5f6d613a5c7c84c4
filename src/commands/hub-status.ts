import { readHubConfig } from '../hub/files.ts';
import { placeOf } from '../hub/hub.ts';
import { readSources } from '../hub/sources.ts';
import { openHubState } from '../hub/state.ts';
import { type HubStatus, hubStatus, type NetworkStatus } from '../hub/status.ts';
import { strictCommand } from './command.ts';
import { hubFileOf, hubLinkOptions, hubLinksOf, hubStateFolder, requireRootFor } from './hub-options.ts';

export default strictCommand({
  meta: { name: 'status', description: 'Show which peers are active, and the progress of a key rotation' },
  args: { ...hubLinkOptions, json: { type: 'boolean', description: 'Print JSON, for programs' } },
  maxPositionals: 0,
  async run(args) {
    requireRootFor('status');
    const config = await readHubConfig(hubFileOf(args));
    const links = await hubLinksOf(args);
    const link = await links.read(placeOf(config));
    if (link === undefined) {
      throw new Error(`link ${config.interface} does not exist: is \`wgdriver hub serve\` running?`);
    }
    const { moved } = await openHubState(hubStateFolder(args, config));
    const status = hubStatus(config, await readSources(config), link, moved, Date.now());
    process.stdout.write(args.json ? `${JSON.stringify(status, null, 2)}\n` : textOf(status));
  },
});

function textOf({ interface: name, port, publicKey, networks, clients, unknownPeers }: HubStatus): string {
  const lines = [
    `${name}: UDP port ${port}, public key ${publicKey ?? 'none yet'}`,
    ...networks.flatMap(networkLines),
    ...clients.map(({ name, address, lastHandshake }) => {
      const ago = lastHandshake && Math.round((Date.now() - lastHandshake.getTime()) / 1000);
      return `client ${name} (${address}): ${ago === undefined ? 'no handshake yet' : `last handshake ${ago} s ago`}`;
    }),
    ...(unknownPeers === 0 ? [] : [`${unknownPeers} peers are on the link but not in the hub’s file`]),
  ];
  return `${lines.join('\n')}\n`;
}

function networkLines({ name, peers, active, missing, rotation }: NetworkStatus): string[] {
  const head =
    `network ${name}: ${active} of ${peers} peers had a handshake in the last 180 s` +
    (missing === 0 ? '' : `, ${missing} are missing on the link`);
  if (rotation === undefined) {
    return [head];
  }
  const { moved, activeOnOldKeys, unused, clientsOnOldKeys } = rotation;
  return [
    head,
    `  rotation: ${moved} addresses have moved to the new key, ${activeOnOldKeys} active ones still use an old key`,
    ...(missing === 0
      ? ['  the hub knows all new keys']
      : ['  the hub does not know all new keys yet: wait until it does before you change the Docker hosts']),
    ...(unused.length === 0
      ? []
      : [`  unused, and open to the old key until you remove it: ${unused.join(', ')}`]),
    ...(clientsOnOldKeys.length === 0
      ? []
      : [
          `  clients that lose their connection with the old key, until each has a new file from \`wgdriver ` +
            `client-config\`: ${clientsOnOldKeys.join(', ')}`,
        ]),
    ...(activeOnOldKeys > 0
      ? ['  keep the old seed or additional for now']
      : clientsOnOldKeys.length > 0
        ? [
            '  no active peer uses an old key; give these clients new files before you remove the old seed or ' +
              'additional',
          ]
        : ['  no peer uses an old key: you can remove the old seed or additional']),
  ];
}
