import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { adoptionLoss } from '../hub/adoption.ts';
import { findPrivateKey, readHubConfig } from '../hub/files.ts';
import { hubOwner } from '../hub/hub.ts';
import { readSources } from '../hub/sources.ts';
import { run } from '../programs/run.ts';
import { formatPrefix } from '../wireguard/address.ts';
import { publicKeyOf } from '../wireguard/key.ts';
import { markOf } from '../wireguard/link-alias.ts';
import type { PeerStatus } from '../wireguard/status.ts';
import { strictCommand, UsageError } from './command.ts';
import { hubFileOf, hubHost, hubLinkOptions, hubLinksOf, requireRootFor } from './hub-options.ts';

/** So many unknown peers are named, and the others counted. */
const mostNamed = 5;

export default strictCommand({
  meta: {
    name: 'adopt',
    description: 'Take over a link that wg-quick, networkd or another hub made, keeping its sessions',
  },
  args: {
    ...hubLinkOptions,
    'drop-unknown': {
      type: 'boolean',
      description:
        'Adopt the link even if it has peers, prefixes, addresses or routes that the file lacks; `hub serve` then ' +
        'removes them',
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
      throw new UsageError(`${file} describes interface ${config.interface}, not ${name}`);
    }
    const mark = markOf(hubOwner);
    const host = hubHost();
    const link = await host.link(name);
    if (link === undefined) {
      throw new Error(
        `link ${name} does not exist, so there is nothing to adopt: \`wgdriver hub serve\` makes it`,
      );
    }
    if (mark.read(link.alias) === name) {
      process.stdout.write(`link ${name} already belongs to this hub\n`);
      return;
    }
    if (link.alias) {
      throw new Error(
        `link ${name} belongs to another program, whose alias it has (${link.alias}): not adopted`,
      );
    }
    const links = await hubLinksOf(args);
    // It has no mark yet.
    const status = await links.read({ name });
    if (status === undefined) {
      throw new Error(
        `link ${name} is not a WireGuard link that the backend ${links.backend} can read: not adopted`,
      );
    }
    const key = await findPrivateKey(config.privatekeyfile);
    if (key === undefined) {
      throw new Error(
        `private key file ${config.privatekeyfile} does not exist: put the link’s own key into it, \`(umask 077; ` +
          `wg show ${name} private-key >${config.privatekeyfile})\``,
      );
    }
    if (status.publicKey !== publicKeyOf(key)) {
      throw new Error(
        `link ${name} has a different key from ${config.privatekeyfile}, so its peers would not know this hub; ` +
          `\`(umask 077; wg show ${name} private-key >${config.privatekeyfile})\` stores the link’s`,
      );
    }
    if (status.listenPort !== config.port) {
      throw new Error(
        `link ${name} listens on port ${status.listenPort} but ${file} says ${config.port}, so its peers would ` +
          `not find this hub: write \`port: ${status.listenPort}\``,
      );
    }
    const { unknownPeers, otherPresharedKeys, rest } = adoptionLoss(config, await readSources(config), {
      peers: status.peers,
      presharedKeys: await presharedKeysOf(name),
      addresses: await host.addresses(name),
      routes: await host.routes(name),
    });
    if (otherPresharedKeys.length > 0) {
      throw new Error(
        `link ${name} and ${file} differ in the preshared keys of ${named(otherPresharedKeys)}: their next ` +
          `handshakes would fail; set \`presharedkey: derived\` or \`presharedkeyfile\` to match the other ends, ` +
          'or leave both out if they have none',
      );
    }
    if (unknownPeers.length > 0 && !args['drop-unknown']) {
      throw new Error(
        `link ${name} has ${unknownPeers.length} peers that are not in ${file}: ${named(unknownPeers)}; add them ` +
          'under clients, or give --drop-unknown',
      );
    }
    if (rest.length > 0 && !args['drop-unknown']) {
      throw new Error(
        `link ${name} has settings that are not in ${file}: ${shortened(rest)}; add prefixes to a client’s ` +
          'allowedips and addresses as a network’s gateway, or give --drop-unknown',
      );
    }
    await host.setAlias(name, mark.write(name));
    process.stdout.write(
      [
        `Link ${name} now belongs to this hub, with its key, port ${config.port} and ${status.peers.length} peers.`,
        ...(await ownersOf(name)),
        'Start the hub with `wgdriver hub install`.',
        '',
      ].join('\n'),
    );
  },
});

function named(peers: readonly PeerStatus[]): string {
  return shortened(
    peers.map(
      ({ publicKey, allowedIps }) =>
        `${publicKey} (${allowedIps.map(formatPrefix).join(', ') || 'no address'})`,
    ),
  );
}

function shortened(texts: readonly string[]): string {
  const more = texts.length > mostNamed ? ` and ${texts.length - mostNamed} more` : '';
  return texts.slice(0, mostNamed).join(', ') + more;
}

/** As wg(8) prints them; undefined where there is no such program. */
async function presharedKeysOf(name: string): Promise<ReadonlyMap<string, string> | undefined> {
  const shown = await run('wg', ['show', name, 'preshared-keys']);
  if (!shown.ok) {
    return undefined;
  }
  const pairs = shown.stdout.split('\n').map((line) => line.split('\t'));
  return new Map(
    pairs.flatMap(([key, shared]) => (key && shared && shared !== '(none)' ? [[key, shared]] : [])),
  );
}

/** Who would set the link up, or take it away, besides. */
async function ownersOf(name: string): Promise<string[]> {
  const lines: string[] = [];
  const unit = `wg-quick@${name}.service`;
  const enabled = await run('systemctl', ['is-enabled', unit]);
  const active = await run('systemctl', ['is-active', unit]);
  if (enabled.ok || active.ok) {
    // Its ExecStop would take the link away, so it must not be stopped: disabled and masked, nothing stops it any more.
    lines.push(
      `${unit} made it: run \`systemctl disable ${unit}\`, but do not stop it, which would delete the link.`,
    );
  }
  for (const file of await networkdFiles(name)) {
    const withoutIt = file.startsWith('/usr/')
      ? `hide that file by \`ln -s /dev/null /etc/systemd/network/${basename(file)}\``
      : 'move that file away';
    lines.push(
      file.endsWith('.netdev')
        ? `systemd-networkd makes it at each boot, and ends its sessions at each restart, from ${file}: ${withoutIt}.`
        : `systemd-networkd gives it addresses from ${file}: once the hub runs, ${withoutIt}, and run ` +
            '`systemctl restart systemd-networkd; systemctl reload wgdriver-hub`. ' +
            'The first takes the addresses away, the second brings them back.',
    );
  }
  return lines;
}

/** systemd.network(5), from the strongest: a file hides those of its name in the folders that follow. */
const networkdFolders = ['/etc', '/run', '/usr/local/lib', '/usr/lib'].map(
  (path) => `${path}/systemd/network`,
);

async function networkdFiles(name: string): Promise<string[]> {
  const found = new Map<string, string | undefined>();
  for (const folder of networkdFolders) {
    const names = await readdir(folder).catch(() => []);
    for (const file of names.filter((each) => /\.(netdev|network)$/.test(each) && !found.has(each))) {
      const path = join(folder, file);
      const text = await readFile(path, 'utf8').catch(() => '');
      found.set(file, text.split('\n').some((line) => isNamed(line, name)) ? path : undefined);
    }
  }
  return [...found.values()].flatMap((path) => path ?? []);
}

/** Is it a line `Name=` with a link's name among others, or a pattern that it fits? */
function isNamed(line: string, link: string): boolean {
  const [, names = ''] = /^\s*Name\s*=(.*)$/.exec(line) ?? [];
  return names.split(/\s+/).some((pattern) => {
    const plain = pattern.replaceAll(/[.+^$|(){}\\]/g, '\\$&');
    return new RegExp(`^${plain.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(link);
  });
}
