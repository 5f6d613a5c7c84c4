// The commands of a hub, in a network namespace of its own.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { derivePrivateKey } from '../../src/keys/derivation.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { parsePrivateKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { backend, hubPrograms, makeLink, sh, startFarEnd, until } from '../support/hub-namespaces.ts';
import { bundle, wgdriverProcess as wgdriver } from '../support/wgdriver.ts';

const { skip } = await enterFreshNamespace(...hubPrograms);

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-hub-command-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'hub.yaml');
const seed = 'b2xkb2xkb2xkb2xkb2xkb2xk';
const options = ['--config', file];
const linkOptions = [...options, '--backend', backend, '--state-dir', join(folder, 'state')];
const base = 'networks:\n  app: { subnet: 192.168.5.0/24, seedfile: app.seed, peers: 20 }\n';
const keyOf = (address: string) =>
  derivePrivateKey(
    {
      seed: new Secret(Buffer.from(seed, 'base64')),
      additional: new TextEncoder().encode('bestov.io'),
      derivation: 'sha3-256',
    },
    parseAddress(address) ?? assert.fail(),
  );

let log = '';
let serving: ChildProcess | undefined;
// One that is left by a test that failed would keep this process.
after(() => serving?.kill('SIGKILL'));
async function startServe(): Promise<ChildProcess> {
  log = '';
  const child = spawn(process.execPath, [bundle, 'hub', 'serve', ...linkOptions], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  serving = child;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  await until('serving', () => / serving /.test(log) || child.exitCode !== null);
  assert.equal(child.exitCode, null, log);
  return child;
}
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  await once(child, 'exit');
}
const hub = (...args: readonly string[]) =>
  wgdriver(['hub', ...args], { env: { PATH: `${folder}:${process.env.PATH}` } });
const peers = () => Number(sh('wg show wg0 peers | wc -l'));

if (skip === undefined) {
  writeFileSync(join(folder, 'app.seed'), seed);
}

test('a hub.yaml that is missing or wrong: where, and what was expected', { skip }, async () => {
  assert.match(
    (await hub('check', ...options)).stderr,
    /^wgdriver: hub’s file .*hub\.yaml: there is no such file \(ENOENT\)$/m,
  );
  writeFileSync(file, 'networks:\n  app: { subnet: 192.168.5.0/24 }\n');
  assert.match(
    (await hub('adopt', 'wg0', ...linkOptions, '--dropUnknown=no')).stderr,
    /option --drop-unknown: expected true or false, got no/,
  );
  // It could not be read again, and its paths would be relative to nothing.
  const fromStdin = await hub('check', '--config', '-');
  assert.equal(fromStdin.status, 2);
  assert.match(fromStdin.stderr, /option --config: expected a file; stdin has no folder/);
  const { status, stderr } = await hub('serve', ...linkOptions);
  assert.equal(status, 1);
  assert.match(stderr, /hub\.yaml:2: networks\.app: expected one of seedfile, seedfiles and publickeysfile/);
});

test('serve makes the key, follows the file, keeps what runs when it is wrong, and leaves all when it ends', {
  skip,
}, async () => {
  writeFileSync(file, base);
  assert.match(
    (await hub('check', ...options)).stdout,
    /networks: 1, clients: 0, peers: 20\b[\s\S]*no firewall/,
  );
  // A route that the host has, and that a client would take.
  writeFileSync(file, `${base}clients: { office: { address: 192.168.5.99, allowedips: [10.0.0.0/8] } }\n`);
  sh('ip route add unreachable 10.0.0.0/8');
  const taken = /route to 10\.0\.0\.0\/8 cannot lead to link wg0: .*`ip route delete 10\.0\.0\.0\/8`/;
  const unfit = await hub('check', ...options);
  assert.equal(unfit.status, 1);
  assert.match(unfit.stdout, taken);
  const refused = await hub('serve', ...linkOptions);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, taken);
  assert.throws(() => sh('ip link show dev wg0 2>&1'));
  sh('ip route delete 10.0.0.0/8');
  // An uplink that is not there yet does not keep it from the rest.
  writeFileSync(file, `${base}masquerade: true\nuplinks: [ppp0]\n`);
  assert.match((await hub('check', ...options)).stdout, /^uplink ppp0 is not there: /m);
  assert.match((await hub('status', ...linkOptions)).stderr, /link wg0 does not exist/);
  const first = await startServe();
  assert.equal(readFileSync(`/proc/${first.pid}/coredump_filter`, 'utf8'), '00000000\n');
  assert.equal(statSync(join(folder, 'wg0.key')).mode & 0o777, 0o600);
  assert.equal(peers(), 20);
  assert.match(
    (await hub('status', ...linkOptions)).stdout,
    /^wg0: UDP port 51820, public key .{44}\nnetwork app: 0 of 20 peers/,
  );
  assert.match((await hub('down', ...linkOptions)).stderr, /another process is using it; stop that process/);
  assert.equal(peers(), 20);
  const second = await hub('serve', ...linkOptions);
  assert.equal(second.status, 1);
  assert.match(second.stderr, /state/);

  writeFileSync(file, `${base}clients:\n  pc: { address: 192.168.5.99 }\n`);
  await until('the change of the file', () => peers() === 21);
  writeFileSync(file, `${base}clients:\n  pc: { adress: 192.168.5.99 }\n`);
  await until('the refusal', () => /the file was not loaded/.test(log));
  assert.match(log, /hub\.yaml:4: clients\.pc\.adress: unknown setting/);
  assert.equal(peers(), 21);
  // A key that is missing is no reason for another one, while the link has it.
  writeFileSync(file, `${base}privatekeyfile: none.key\n`);
  const missing = /private key file .*none\.key does not exist.*wg show wg0 private-key >\S*none\.key\)/;
  await until('the refusal of another key', () => missing.test(log));
  const keyless = await hub('check', ...options);
  assert.equal(keyless.status, 1);
  assert.match(keyless.stdout, missing);
  assert.doesNotMatch(keyless.stdout, /will be made/);
  writeFileSync(file, base);
  first.kill('SIGHUP');
  await until('the change by SIGHUP', () => peers() === 20);

  await end(first, 'SIGKILL');
  assert.equal(peers(), 20);
  const third = await startServe();
  assert.match(log, /hub loaded link=wg0 changes=0 /);

  // A rotation: as long as the hub has not loaded the file, and then.
  writeFileSync(join(folder, 'new.seed'), 'bmV3bmV3bmV3bmV3bmV3bmV3');
  const rotating = `${base.replace('seedfile: app.seed', 'seedfiles: [new.seed, app.seed]')}clients: { phone: { address: 192.168.5.99 } }\n`;
  const notLoaded = join(folder, 'rotating.yaml');
  writeFileSync(notLoaded, rotating);
  assert.match(
    (await hub('status', ...linkOptions, '--config', notLoaded)).stdout,
    /, 21 are missing on the link\n {2}rotation: [\s\S]* does not know all new keys yet: wait until it does before you change/,
  );
  writeFileSync(file, rotating);
  await until('both epochs', () => peers() === 42);
  const { stdout } = await hub('status', ...linkOptions);
  assert.match(stdout, /^ {2}the hub knows all new keys$/m);
  assert.match(
    stdout,
    /^ {2}clients that .* `wgdriver client-config`: phone\n {2}no active peer uses an old key; give these/m,
  );
  writeFileSync(file, base);
  await until('one epoch', () => peers() === 20);
  assert.match((await hub('status', ...linkOptions)).stdout, /^network app: 0 of 20 peers [^,]*$/m);
  await end(third, 'SIGTERM');
  assert.equal(third.exitCode, 0);
  assert.equal(peers(), 20);
  assert.equal((await hub('down', ...linkOptions)).status, 0);
  assert.throws(() => sh('ip link show dev wg0 2>&1'));
  assert(!sh('nft list tables').includes('wgdriver'));
});

test('adopt takes over a hub of 0.1’s files with its sessions', { skip }, async () => {
  sh(
    `umask 077; wg genkey >$1/wg0.key; cd $1
     sh -euc "$2" sh wg0
     ip address add 192.168.5.1/24 dev wg0`,
    folder,
    makeLink,
  );
  const config = await wgdriver([
    'endpoint-config',
    '192.168.5.0/24',
    `--seed-file=${join(folder, 'app.seed')}`,
    '--peers=20',
    '--format=setconf',
    `--private-key-file=${join(folder, 'wg0.key')}`,
  ]);
  writeFileSync(join(folder, 'wg0.conf'), config.stdout);
  sh('wg setconf wg0 $1/wg0.conf; ip link set wg0 up; sysctl -qw net.ipv4.conf.wg0.forwarding=1', folder);
  const own = parsePrivateKey(sh('cat $1/wg0.key', folder).trim()) ?? assert.fail();
  const one = startFarEnd({
    addresses: ['192.168.5.2/24'],
    key: keyOf('192.168.5.2'),
    hubKey: publicKeyOf(own),
  });
  assert(one.pings('192.168.5.1'));
  const shaken = sh('wg show wg0 latest-handshakes | sort');

  const adopt = (...args: readonly string[]) => hub('adopt', 'wg0', ...linkOptions, ...args);
  assert.match((await hub('check', ...options)).stdout, /hub adopt wg0/);
  writeFileSync(file, `${base}port: 4500\n`);
  assert.match((await adopt()).stderr, /listens on port 51820 but .*hub\.yaml says 4500/);
  writeFileSync(file, `${base}privatekeyfile: other.key\n`);
  assert.match((await adopt()).stderr, /other\.key does not exist: put the link’s own key into it/);
  sh('wg genkey >$1/other.key', folder);
  assert.match((await adopt()).stderr, /link wg0 has a different key from .*other\.key/);
  writeFileSync(file, base);
  const laptop = sh('wg genkey | wg pubkey').trim();
  sh('wg set wg0 peer $1 allowed-ips 192.168.5.99/32', laptop);
  const refused = await adopt();
  assert.equal(refused.status, 1);
  assert(refused.stderr.includes(`1 peers that are not in ${file}: ${laptop} (192.168.5.99/32)`));
  const known = `${base}clients: { laptop: { address: 192.168.5.99, publickey: ${laptop} } }\n`;
  writeFileSync(file, known);

  // What `serve` would take away, so that the next handshake or some traffic failed.
  const shared = join(folder, 'laptop.psk');
  sh('umask 077; wg genpsk >$1; wg set wg0 peer $2 preshared-key $1', shared, laptop);
  const differs = /differ in the preshared keys of \S+ \(192\.168\.5\.99\/32\): their next handshakes/;
  assert.match((await adopt()).stderr, differs);
  assert.match((await adopt('--drop-unknown')).stderr, differs);
  writeFileSync(file, known.replace(' } }', ', presharedkeyfile: laptop.psk } }'));
  writeFileSync(join(folder, 'own.psk'), sh('cat $1', shared), { mode: 0o600 });
  sh('wg genpsk >$1', shared);
  assert.match((await adopt()).stderr, differs);
  sh(
    'cat $1/own.psk >$1/laptop.psk; wg set wg0 peer $2 allowed-ips 192.168.5.99/32,10.8.0.0/16',
    folder,
    laptop,
  );
  sh('ip address add 10.7.0.1/24 dev wg0; ip route add 10.6.0.0/16 dev wg0');
  const lossy = await adopt();
  assert.equal(lossy.status, 1);
  assert.match(
    lossy.stderr,
    /has settings that are not in .*: 10\.8\.0\.0\/16 of peer \S+, address 10\.7\.0\.1\/24, the route to 10\.6\.0\.0\/16; add prefixes/,
  );
  sh('ip address delete 10.7.0.1/24 dev wg0; ip route delete 10.6.0.0/16');
  sh('wg set wg0 peer $1 allowed-ips 192.168.5.99/32 preshared-key /dev/null', laptop);
  writeFileSync(file, known);

  // Who would set it up besides.
  writeFileSync(join(folder, 'systemctl'), '#!/bin/sh\n[ "$1 $2" = "is-enabled wg-quick@wg0.service" ]\n', {
    mode: 0o755,
  });
  const networkd = '/run/systemd/network';
  mkdirSync(networkd, { recursive: true });
  writeFileSync(join(networkd, 'a.netdev'), '[NetDev]\nName = wg0\nKind=wireguard\n');
  writeFileSync(join(networkd, 'b.network'), '[Match]\nName=eth0 wg0\n');
  writeFileSync(join(networkd, 'c.network'), '[Match]\nName=w*\n');
  writeFileSync(join(networkd, 'd.network'), '[Match]\nName=wg01 eth*\n');
  const taken = await adopt();
  assert.equal(taken.status, 0, taken.stderr);
  assert.match(taken.stdout, /Link wg0 now belongs to this hub, with its key, port 51820 and 21 peers/);
  assert.match(
    taken.stdout,
    /^wg-quick@wg0\.service made it: run `systemctl disable wg-quick@wg0\.service`/m,
  );
  assert.deepEqual(
    [...taken.stdout.matchAll(/^systemd-networkd .* from (\S+): (?:once the hub runs, )?move/gm)].map(
      ([, path]) => path,
    ),
    ['a.netdev', 'b.network', 'c.network'].map((name) => join(networkd, name)),
  );

  const serve = await startServe();
  assert.match(log, /hub loaded link=wg0 changes=0 /);
  assert(one.pings('192.168.5.1'));
  assert.equal(sh('wg show wg0 latest-handshakes | sort').replace(`${laptop}\t0\n`, ''), shaken);
  await end(serve, 'SIGTERM');
  assert.match((await adopt()).stdout, /already belongs to this hub/);
  one.close();
  assert.equal((await hub('down', ...linkOptions)).status, 0);
});
