import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findPrivateKey, readHubConfig } from '../hub/files.ts';
import { hubOwner, placeOf } from '../hub/hub.ts';
import { allPeers, readSources } from '../hub/sources.ts';
import { run } from '../programs/run.ts';
import { formatPrefix } from '../wireguard/address.ts';
import { type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import { markOf } from '../wireguard/link-alias.ts';
import { strictCommand, UsageError } from './command.ts';
import { hubFileOf, hubHost, hubLinkOptions, hubLinksOf, requireRootFor } from './hub-options.ts';

/** So many unknown peers are named, and the others counted. */
const mostNamed = 5;

export default strictCommand({
  meta: {
    name: 'adopt',
    description: 'Take over a link that wg-quick, networkd or another hub made, without dropping a session',
  },
  args: {
    ...hubLinkOptions,
    'drop-unknown': {
      type: 'boolean',
      description: 'Adopt it even if it has peers that the file lacks; `hub serve` then removes them',
    },
    link: { type: 'positional', valueHint: 'LINK', description: 'The link, such as wg0' },
  },
  maxPositionals: 1,
  async run(args) {
    requireRootFor('adopt');
    const file = hubFileOf(args);
    const config = await readHubConfig(file);
    const name = args.link;
    if (name !== config.interface) {
      throw new UsageError(`${file} is for interface ${config.interface}: expected that link, got ${name}`);
    }
    const mark = markOf(hubOwner);
    const host = hubHost();
    const link = await host.link(name);
    if (link === undefined) {
      throw new Error(`link ${name} is not there: nothing to adopt, \`wgdriver hub serve\` makes it`);
    }
    if (mark.read(link.alias) === name) {
      process.stdout.write(`link ${name} is this hub’s already\n`);
      return;
    }
    if (link.alias) {
      throw new Error(`link ${name} carries the alias of somebody else, ${link.alias}: not taken`);
    }
    const links = await hubLinksOf(args);
    const status = await links.read(placeOf(config));
    const key = await findPrivateKey(config.privatekeyfile);
    if (key === undefined) {
      throw new Error(
        `private key file ${config.privatekeyfile} is not there: put the link’s own key into it, ` +
          `\`(umask 077; wg show ${name} private-key >${config.privatekeyfile})\``,
      );
    }
    if (status?.publicKey !== publicKeyOf(key)) {
      throw new Error(
        `link ${name} has another key than ${config.privatekeyfile}: its peers would not know this hub; ` +
          `\`(umask 077; wg show ${name} private-key >${config.privatekeyfile})\` takes the link’s`,
      );
    }
    if (status.listenPort !== config.port) {
      throw new Error(
        `link ${name} listens on port ${status.listenPort} and ${file} says ${config.port}: its peers would not ` +
          `find this hub; write \`port: ${status.listenPort}\``,
      );
    }
    const known = new Set<PublicKey>();
    for (const { keys } of allPeers(await readSources(config))) {
      for (const { publicKey } of keys) {
        known.add(publicKey);
      }
    }
    const unknown = status.peers.filter(({ publicKey }) => !known.has(publicKey));
    if (unknown.length > 0 && !args['drop-unknown']) {
      const named = unknown
        .slice(0, mostNamed)
        .map(
          ({ publicKey, allowedIps }) =>
            `${publicKey} (${allowedIps.map(formatPrefix).join(', ') || 'no address'})`,
        );
      const more = unknown.length > mostNamed ? ` and ${unknown.length - mostNamed} more` : '';
      throw new Error(
        `link ${name} has ${unknown.length} peers that ${file} does not have: ${named.join(', ')}${more}; ` +
          'write them under clients, or give --drop-unknown',
      );
    }
    await host.setAlias(name, mark.write(name));
    process.stdout.write(
      [
        `link ${name} is this hub’s now, with its key, port ${config.port} and ${status.peers.length} peers.`,
        ...(await ownersOf(name)),
        'Start the hub by `wgdriver hub install`.',
        '',
      ].join('\n'),
    );
  },
});

/** Who would set the link up, or take it away, besides. */
async function ownersOf(name: string): Promise<string[]> {
  const lines: string[] = [];
  const unit = `wg-quick@${name}.service`;
  const enabled = await run('systemctl', ['is-enabled', unit]);
  const active = await run('systemctl', ['is-active', unit]);
  if (enabled.ok || active.ok) {
    // Its ExecStop would take the link away, so it must not be stopped: disabled and masked, nothing stops it any more.
    lines.push(
      `${unit} made it: \`systemctl disable ${unit}\`, and do not stop it, which would take the link away.`,
    );
  }
  for (const file of await networkdFiles(name)) {
    lines.push(`systemd-networkd makes it at each boot by ${file}: move that file away.`);
  }
  return lines;
}

async function networkdFiles(name: string): Promise<string[]> {
  const folder = '/etc/systemd/network';
  const names = await readdir(folder).catch(() => []);
  const found: string[] = [];
  for (const file of names.filter((candidate) => /\.(netdev|network)$/.test(candidate))) {
    const text = await readFile(join(folder, file), 'utf8').catch(() => '');
    if (text.split('\n').some((line) => line.replaceAll(' ', '') === `Name=${name}`)) {
      found.push(join(folder, file));
    }
  }
  return found;
}
