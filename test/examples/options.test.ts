// The networks of all examples, as the driver reads them. test/scenarios/compose.test.ts runs the examples.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { decodeNetworkOptions, passedOver, refuseMistakes } from '../../src/networks/options.ts';

interface Compose {
  readonly networks?: Readonly<
    Record<string, { driver?: string; driver_opts?: Record<string, string> } | null>
  >;
}

const values: Readonly<Record<string, string>> = {
  HUB: '172.31.250.2:51820',
  SEED_FILE: '/etc/wgdriver/app.seed',
  SECRETS: '/etc/wgdriver',
};
/** Of a variable that setup.sh or the user sets. */
const settingOf = (name: string, otherwise = '') =>
  name.endsWith('PUBLIC_KEY') ? `${'B'.repeat(42)}A=` : (values[name] ?? otherwise);

const folder = 'compose-examples';
for (const example of (await readdir(folder, { withFileTypes: true })).filter((entry) =>
  entry.isDirectory(),
)) {
  test(`${example.name}: its networks have options that the driver knows and takes`, async () => {
    const text = (await readFile(join(folder, example.name, 'compose.yaml'), 'utf8')).replaceAll(
      /\$\{(\w+)(?::[?-]([^}]*))?\}/g,
      (_, name: string, otherwise?: string) => settingOf(name, otherwise),
    );
    const { networks = {} } = parse(text) as Compose;
    const ours = Object.values(networks).filter((network) => network?.driver?.startsWith('wireguard-plugin'));
    for (const network of ours) {
      const options = network?.driver_opts ?? {};
      refuseMistakes(passedOver(options));
      const { peer, conffile, hublink } = decodeNetworkOptions(options);
      assert(peer ?? conffile ?? hublink, 'it says where the hub is');
    }
    assert(ours.length > 0 || example.name.startsWith('swarm-'), 'it has a network of the driver’s');
  });
}
