import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { endpointWarnings, networkWarnings } from '../../src/driver/warnings.ts';
import { readWgQuick } from '../../src/wireguard/config/wg-quick-reader.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { articleOptions, network, peerKeyText, seedText } from '../support/networks.ts';

const additional = new Uint8Array();
const good = { seed: new Secret(new Uint8Array(16)), additional };
let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-warnings-'));
  file = join(folder, 'seed');
  await writeFile(file, seedText, { mode: 0o600 });
});
afterEach(() => rm(folder, { recursive: true }));

test('a good seed in a file for root alone: nothing to warn of', async () => {
  assert.deepEqual(await networkWarnings(withSeedFile(), good, folder), []);
});

test('a seed under 16 bytes', async () => {
  const [warning, ...rest] = await networkWarnings(
    withSeedFile(),
    { seed: new Secret(new Uint8Array(15)), additional },
    folder,
  );
  assert.match(warning ?? '', /fewer than 16 bytes .*`wgdriver keys seed`/);
  assert.deepEqual(rest, []);
});

test('a seed that `docker network inspect` shows', async () => {
  const [warning, ...rest] = await networkWarnings(network(), good, folder);
  assert.match(warning ?? '', /docker network inspect.*io\.bestov\.wg\.seedfile/);
  assert.deepEqual(rest, []);
});

for (const mode of [0o640, 0o604, 0o644, 0o620, 0o601]) {
  test(`a seed file of mode ${mode.toString(8)}`, async () => {
    await chmod(file, mode);
    const [warning, ...rest] = await networkWarnings(withSeedFile(), good, folder);
    assert.match(warning ?? '', /^users other than root can read the seed file .*: run `chmod 600 /);
    assert.deepEqual(rest, []);
  });
}

test('a preshared key file that others can read', async () => {
  const psk = join(folder, 'psk');
  await writeFile(psk, '', { mode: 0o644 });
  const options = { ...withSeedFile().record.options, presharedkeyfile: psk };
  const [warning, ...rest] = await networkWarnings(network({ options }), good, folder);
  assert.match(warning ?? '', /can read the preshared key file .*psk: /);
  assert.deepEqual(rest, []);
});

test('a configuration file that others can read', async () => {
  const conffile = join(folder, 'open.conf');
  await writeFile(conffile, '', { mode: 0o644 });
  const { peer: _, peerkey: __, ...options } = withSeedFile().record.options;
  const [warning, ...rest] = await networkWarnings(
    network({ options: { ...options, conffile } }),
    {
      ...good,
      configuration: readWgQuick(`[Peer]\nPublicKey = ${peerKeyText}\nAllowedIPs = ::/0\nEndpoint = a:1`),
    },
    folder,
  );
  assert.match(warning ?? '', /can read the configuration file .*open\.conf: /);
  assert.deepEqual(rest, []);
});

const mostOfIpv4 = '0.0.0.0/1,128.0.0.0/2';

test('a list that closes IPv6 for want of a prefix of it, as an option or in a configuration file', async () => {
  const { options } = withSeedFile().record;
  const ofOption = (more: Readonly<Record<string, string>>) =>
    networkWarnings(network({ options: { ...options, ...more } }), good, folder);
  const [warning, ...rest] = await ofOption({ allowedips: mostOfIpv4 });
  assert.match(
    warning ?? '',
    /^io\.bestov\.wg\.allowedips holds most of IPv4 .*IPv6 may not leave .*exclude for exceptions$/,
  );
  assert.deepEqual(rest, []);
  for (const quiet of [
    { allowedips: mostOfIpv4, killswitch: 'off' },
    { allowedips: `${mostOfIpv4},fd00::/8` },
    { allowedips: '0.0.0.0/1' },
  ]) {
    assert.deepEqual(await ofOption(quiet), []);
  }
  const conffile = join(folder, 'most.conf');
  const text = `[Interface]\nPrivateKey = ${peerKeyText}\n[Peer]\nPublicKey = ${peerKeyText}\nAllowedIPs = ${mostOfIpv4}\n`;
  await writeFile(conffile, text, { mode: 0o600 });
  const { peer: _, peerkey: __, ...ofFile } = options;
  const secrets = { ...good, configuration: readWgQuick(text) };
  const warnings = await networkWarnings(network({ options: { ...ofFile, conffile } }), secrets, folder);
  assert.match(String(warnings), /the AllowedIPs of configuration file .*most\.conf hold most of IPv4/);
});

test('no warning holds the seed', async () => {
  const text = String(
    await networkWarnings(network(), { seed: new Secret(Buffer.from('short')), additional }, folder),
  );
  assert(!text.includes(seedText) && !text.includes('short'));
});

test('published ports are said to do nothing', () => {
  const PortMap = 'com.docker.network.portmap';
  assert.match(String(endpointWarnings({ [PortMap]: [{ Proto: 6, Port: 80 }] })), /published with -p/);
  for (const options of [{}, { [PortMap]: [] }, { [PortMap]: null }, { [PortMap]: 'x' }]) {
    assert.deepEqual(endpointWarnings(options), []);
  }
});

function withSeedFile() {
  const { seed: _, ...options } = articleOptions;
  return network({ options: { ...options, seedfile: file } });
}
