import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attempt, run } from '../../build/host/commands.ts';
import { testImage } from '../../build/host/engine.ts';
import { driverName, hostForTests } from '../../build/host/host.ts';

const host = await hostForTests();

const marked = 'TUFSS0VELU1BUktFRC1NQVJLRUQtTUFSS0VE';

const refused: readonly [what: string, options: Record<string, string>, args: string[], message: RegExp][] = [
  ['no peer', { peer: '' }, [], /io\.bestov\.wg\.peer is missing/],
  ['a peer without a port', { peer: 'vpn.example.org' }, [], /io\.bestov\.wg\.peer: expected host:port/],
  ['a bad peer key', { peerkey: marked }, [], /io\.bestov\.wg\.peerkey: expected a public key/],
  ['a bad seed', { seed: `${marked}!` }, [], /io\.bestov\.wg\.seed: expected base64/],
  ['no seed', { seed: '' }, [], /io\.bestov\.wg\.seed is missing/],
  ['two seeds', { seedfile: '/run/seed' }, [], /expected one of the two/],
  [
    'a seed file that is not there',
    { seed: '', seedfile: '/run/no-such-seed' },
    [],
    /seed file \/run\/no-such-seed: there is no such file \(ENOENT\)/,
  ],
  [
    // A name in the secrets folder, if it were none that could be the seed itself.
    'a seed in the place of a seed file',
    { seed: '', seedfile: 'seed' },
    [],
    /io\.bestov\.wg\.seedfile: expected the path of a file on this host/,
  ],
  [
    'an unknown derivation',
    { derivation: 'md5' },
    [],
    /io\.bestov\.wg\.derivation: expected one of sha3-256/,
  ],
  ['a keepalive out of range', { keepalive: '65536' }, [], /io\.bestov\.wg\.keepalive: expected an integer/],
  ['an MTU that is no number', { mtu: 'big' }, [], /io\.bestov\.wg\.mtu: expected auto or an integer/],
  ['bad allowed IPs', { allowedips: '10.0.0.0' }, [], /io\.bestov\.wg\.allowedips: expected CIDR/],
  [
    'an option without its prefix',
    {},
    ['-o', 'mtu=1380'],
    /unknown option mtu; did you mean io\.bestov\.wg\.mtu\?/,
  ],
  ['an unknown option', { sed: marked }, [], /unknown option io\.bestov\.wg\.sed/],
  [
    'IPv6 of the engine beside IPv4',
    {},
    ['--ipv6', '--subnet=fd00:5::/64'],
    /without --ipv6 \(compose: enable_ipv6\) and with -o io\.bestov\.wg\.ipv6=PREFIX/,
  ],
  [
    'a long IPv6 prefix',
    { ipv6: 'fd12::/97' },
    [],
    /io\.bestov\.wg\.ipv6: expected an IPv6 prefix of at most/,
  ],
  ['a link-local IPv6 prefix', { ipv6: 'fe80::/64' }, [], /io\.bestov\.wg\.ipv6: expected an IPv6 prefix/],
  ['an IPv6 prefix of multicast', { ipv6: 'ff15::/64' }, [], /io\.bestov\.wg\.ipv6: expected an IPv6 prefix/],
  ['an MTU that IPv6 cannot have', { ipv6: 'fd12::/64', mtu: '1279' }, [], /mtu: expected at least 1280/],
  [
    'an IPv6 prefix that holds the hub’s outer address',
    { ipv6: 'fd12::/64', peer: '[fd12::9]:51820' },
    [],
    /ipv6: the prefix contains fd12::9/,
  ],
  [
    'allowed IPs of an internal network',
    { allowedips: '10.0.0.0/8' },
    ['--internal'],
    /cannot be combined with --internal/,
  ],
];

for (const [what, options, args, message] of refused) {
  test(`docker network create with ${what} says what to do, without the value`, async () => {
    const error = await host.createNetwork('wgnet', { options, args }).then(
      () => assert.fail('the network was created'),
      (failure: Error) => failure.message.slice(failure.message.indexOf('exit status')),
    );
    assert.match(error, message);
    assert.doesNotMatch(error, new RegExp(marked));
  });
}

test('docker network create with --ipam-driver null says what to do', async () => {
  const { status, stderr } = await host.engine.tryDocker(
    'network',
    'create',
    `--driver=${driverName}`,
    '--ipam-driver=null',
    `--opt=io.bestov.wg.peer=${host.hub.endpoint}`,
    `--opt=io.bestov.wg.peerkey=${host.hub.publicKey}`,
    `--opt=io.bestov.wg.seed=${marked}`,
    'wgnet',
  );
  assert.notEqual(status, 0);
  assert.match(stderr, /--ipam-driver null/);
});

const refusedContainers: readonly [what: string, args: string[], message: RegExp][] = [
  ['a MAC address', ['--mac-address=02:42:ac:11:00:02'], /without --mac-address/],
];

for (const [what, args, message] of refusedContainers) {
  test(`docker run with ${what} says what to do, and leaves nothing half made`, async () => {
    await host.createNetwork('wgnet');
    const { status, stderr } = await host.engine.tryDocker(
      'run',
      '--rm',
      '--network=wgnet',
      ...args,
      testImage,
      'true',
    );
    assert.notEqual(status, 0);
    assert.match(stderr, message);
  });
}

test('nft that has gone since the driver started: no container starts, and it does when nft is back', async (t) => {
  const isByPrograms = (await attempt('node', ['-e', 'require("node:ffi")'])).status !== 0;
  if (process.env.WGDRIVER_TEST_BINARY !== undefined || !isByPrograms) {
    return t.skip('the driver here protects without programs');
  }
  await host.createNetwork('wgnet');
  await host.engine.docker('create', '--name=one', '--network=wgnet', testImage, 'sleep', '100000');
  // What the driver found out when the network was created counts for a second.
  await sleep(1000);
  const nft = await run('sh', ['-c', 'command -v nft']);
  await run('mount', ['--bind', '/bin/false', nft]);
  try {
    await assert.rejects(host.engine.docker('start', 'one'), /this host cannot keep traffic in the tunnel/);
  } finally {
    await run('umount', [nft]);
  }
  await host.engine.docker('start', 'one');
  await host.ping('one', host.hub.address);
});
