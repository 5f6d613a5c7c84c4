/** Both families in one tunnel, and IPv6 alone. What is expected here is told to users in docs/ipv6.md. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { run, sh, until } from '../../build/host/commands.ts';
import { startDriver, wgdriver } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';
import { lostIpv6Warning } from '../../src/driver/lost-ipv6.ts';

const host = await hostForTests();
const { docker } = host.engine;

const isFrom28 = Number.parseInt(host.engine.version, 10) >= 28;
const skip = existsSync('/proc/self/net/if_inet6') ? false : 'this kernel has no IPv6';
/** What takes long, and hardly says more, is for the full run. */
const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const notInShort = skip || (isFull ? false : 'in the full run');
const notBefore28 = skip || (isFrom28 ? false : 'engine 28 brought networks of IPv6 alone');

const prefix = 'fd12:3456::/64';
const hubIpv6 = 'fd12:3456::c0a8:501';
const oneIpv6 = 'fd12:3456::c0a8:502';
/** The outer addresses of hub and host. */
const outer = { hub: 'fd99::2', host: 'fd99::1' };
const ipv6Endpoint = `[${outer.hub}]:${host.hub.endpoint.split(':').at(-1)}`;

const options = { ipv6: prefix };
const scheme = [`--seed=${article.seed}`, `--additional=${article.additional}`];
const peersOfBoth = [...scheme, '--peers=20', `--ipv6=${prefix}`, article.subnet];

before(async () => {
  if (skip) {
    return;
  }
  await host.hub.exec(
    'sh',
    '-euc',
    `sysctl -qw net.ipv6.conf.all.forwarding=1
     ip address add ${hubIpv6}/120 dev wg-hub
     ip address add ${outer.hub}/64 dev eth0 nodad`,
  );
  await sh(`ip address add ${outer.host}/64 dev hub-host nodad`);
  await host.hub.sync(...peersOfBoth);
});

/** For the table in docs/ipv6.md: what the engine says of the addresses that the driver gave. */
after(() => {
  const said = host.engine.output().match(/Failed to (?:release|reserve)[^"]*"?/g) ?? [];
  for (const warning of new Set(said.map((line) => line.replaceAll(/[0-9a-f]{16,}/g, '…')))) {
    console.log(`engine ${host.engine.version}: ${warning}`);
  }
});

const addresses = async (container: string) =>
  [...(await host.enter(container, 'ip', '-o', 'address', 'show', 'dev', 'wg0')).matchAll(/inet6? (\S+)/g)]
    .map(([, address]) => address ?? '')
    .filter((address) => !address.startsWith('fe80'))
    .sort();

async function reachBoth(container: string): Promise<void> {
  await host.ping(container, host.hub.address);
  await host.ping(container, hubIpv6);
}

test('both families: addresses, default routes, names, pings both ways, restart, nothing left', {
  skip,
}, async () => {
  await host.createNetwork('wgnet', { options });
  await host.startContainer('one', '--network=wgnet');
  await host.startContainer('two', '--network=wgnet');
  assert.deepEqual(await addresses('one'), ['192.168.5.2/24', `${oneIpv6}/120`]);
  assert.match(await host.enter('one', 'ip', '-4', 'route'), /^default via 192\.168\.5\.1 dev wg0/m);
  assert.match(await host.enter('one', 'ip', '-6', 'route'), /^default via fd12:3456::c0a8:501 dev wg0/m);
  await reachBoth('one');
  await reachBoth('two');
  await host.hub.exec('ping', '-c', '1', '-W', '5', article.firstAddress);
  await host.hub.exec('ping', '-c', '1', '-W', '5', oneIpv6);
  // By the hub, from container to container.
  await host.ping('two', oneIpv6);
  const [status] = JSON.parse(await run(wgdriver, ['status', '--json', 'one']));
  assert.deepEqual(status.addresses, [article.firstAddress, oneIpv6]);
  const names = await host.exec('two', 'nslookup', 'one', '127.0.0.11');
  assert.match(names, new RegExp(`${oneIpv6}$`, 'm'));
  await docker('restart', '-t', '0', 'one');
  assert.deepEqual(await addresses('one'), ['192.168.5.2/24', `${oneIpv6}/120`]);
  await reachBoth('one');
});

test('a split tunnel and an internal network have no default route of either family', { skip }, async () => {
  await host.createNetwork('wgnet', { options: { ...options, allowedips: '10.0.0.0/8,fd77::/32' } });
  await host.startContainer('one', '--network=wgnet');
  const routes = async () =>
    (
      await Promise.all(
        ['-4', '-6'].map((family) => host.enter('one', 'ip', family, 'route', 'show', 'table', 'all')),
      )
    ).join('\n');
  await until('the tunnel has what is for it', async () =>
    /^10\.0\.0\.0\/8 dev wg0 table 30567/m.test(await routes()),
  );
  assert.match(await routes(), /^fd77::\/32 dev wg0 table 30567/m);
  assert.doesNotMatch(await routes(), /^default/m);
  await reachBoth('one');
  await host.clear();
  await host.createNetwork('wgnet', { options, args: ['--internal'] });
  await host.startContainer('one', '--network=wgnet');
  assert.doesNotMatch(await routes(), /^default/m);
  await reachBoth('one');
});

test('the lower half of IPv6, whose beginning engines may drop', { skip }, async () => {
  await host.createNetwork('wgnet', { options: { ...options, allowedips: '::/1,10.0.0.0/8' } });
  await host.startContainer('one', '--network=wgnet');
  await until('the tunnel has it', async () =>
    / dev wg0 /.test(await host.enter('one', 'ip', '-6', 'route', 'get', '2001:db8::1').catch(() => '')),
  );
  assert.match(await host.enter('one', 'ip', '-6', 'route', 'get', '64:ff9b::1'), / dev wg0 /);
});

test('the tunnel’s own packets over IPv6', { skip }, async () => {
  await host.createNetwork('wgnet', { options: { ...options, peer: ipv6Endpoint } });
  await host.startContainer('one', '--network=wgnet');
  await reachBoth('one');
});

test('the kill switch, strict and off, means the same for both families', { skip: notInShort }, async () => {
  await host.createNetwork('wgnet', { options: { ...options, killswitch: 'strict' } });
  await host.startContainer('one', '--network=wgnet', '--dns=2001:db8::53');
  await reachBoth('one');
  await host.clear();
  const split = { ...options, allowedips: '10.0.0.0/8,fd77::/32' };
  await host.createNetwork('wgnet', { options: { ...split, killswitch: 'strict' } });
  const { stderr } = await host.engine.tryDocker(
    ...['run', '--rm', '--network=wgnet', '--dns=2001:db8::53', testImage, 'true'],
  );
  assert.match(stderr, /killswitch=strict: the DNS server 2001:db8::53 is not among the allowed IPs/);
  await host.clear();
  await host.createNetwork('wgnet', { options: { ...split, killswitch: 'off' } });
  await host.startContainer('one', '--network=wgnet');
  assert.match(await host.enter('one', 'ip', '-4', 'route'), /^10\.0\.0\.0\/8 dev wg0/m);
  assert.match(await host.enter('one', 'ip', '-6', 'route'), /^fd77::\/32 dev wg0/m);
  assert.doesNotMatch(await host.enter('one', 'nft', 'list', 'tables'), /wgdriver/);
  await reachBoth('one');
});

test('driver and engine killed: both families go on', { skip }, async () => {
  await host.createNetwork('wgnet', { options });
  await host.startContainer('one', '--network=wgnet', '--restart=always');
  await reachBoth('one');
  await host.driver.stop('SIGKILL');
  await reachBoth('one');
  host.driver = await startDriver('--backend', host.tunnel.backend);
  await docker('restart', '-t', '0', 'one');
  await reachBoth('one');
  await host.engine.stop('SIGKILL');
  await host.engine.start();
  await until('it runs again', async () => (await docker('ps', '-q')) !== '');
  await reachBoth('one');
  assert.deepEqual(await addresses('one'), ['192.168.5.2/24', `${oneIpv6}/120`]);
  // A link that the engine finds again is the same link; live-restore.test.ts has it in each run.
  if (isFull) {
    await host.engine.stop('SIGKILL');
    await host.engine.start('--live-restore');
    await reachBoth('one');
  }
});

// The engine may give the default routes to the bridge, and has to for this name; what the kill switch lets leave is the
// same.
for (const bridge of isFull ? ['abridge6', 'zbridge6'] : ['abridge6']) {
  test(`beside the bridge ${bridge} with IPv6, both families stay in the tunnel`, { skip }, async () => {
    await host.createNetwork('wgnet', { options });
    await docker('network', 'create', '--subnet=172.30.6.0/24', '--ipv6', '--subnet=fd00:36::/64', bridge);
    await host.startContainer('one', '--network=wgnet');
    await docker('network', 'connect', bridge, 'one');
    await reachBoth('one');
    for (const destination of ['203.0.113.1', '2001:db8::1']) {
      await until(`${destination} is reached by the tunnel`, async () =>
        / dev wg0 /.test(await host.enter('one', 'ip', 'route', 'get', destination)),
      );
    }
    // The bridge itself is reached, by both families.
    await host.ping('one', '172.30.6.1');
    await host.ping('one', 'fd00:36::1');
    await docker('network', 'disconnect', bridge, 'one');
    await reachBoth('one');
  });
}

test('a container without IPv6 starts, and reaches the hub over IPv4; the log says so, if it has lost an address', {
  skip,
}, async () => {
  await host.createNetwork('wgnet', { options });
  await host.startContainer('one', '--network=wgnet', '--sysctl=net.ipv6.conf.all.disable_ipv6=1');
  await host.ping('one', host.hub.address);
  if (isFull) {
    const hasLost = !(await addresses('one')).includes(`${oneIpv6}/120`);
    assert.equal(hasLost, !isFrom28);
    if (hasLost) {
      await until('the log says so', () => host.driver.output().includes(lostIpv6Warning), 120_000);
    }
  }
});

test('a host without any IPv6 address: both families in the tunnel, by the hub’s IPv4 address', {
  skip: notInShort,
}, async () => {
  try {
    await sh('echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6');
    assert.equal(await sh('ip -6 -o address'), '');
    await host.createNetwork('wgnet', { options });
    await host.startContainer('one', '--network=wgnet');
    await reachBoth('one');
    assert.deepEqual(await addresses('one'), ['192.168.5.2/24', `${oneIpv6}/120`]);
  } finally {
    await sh('echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6');
    await sh(`ip address add ${outer.host}/64 dev hub-host nodad`);
  }
});

test('a prefix that holds an address of this host is refused', { skip }, async () => {
  await assert.rejects(
    host.createNetwork('wgnet', { options: { ipv6: 'fd99::/64' } }),
    /ipv6: the prefix contains fd99::1, an address outside the tunnel/,
  );
});

test('a container’s --ip6, and an --ip that another one has, are refused by the engine', {
  skip,
}, async () => {
  await host.createNetwork('wgnet', { options });
  await host.startContainer('one', '--network=wgnet', `--ip=${article.firstAddress}`);
  const refusal = async (arg: string) => {
    const { status, stderr } = await host.engine.tryDocker(
      ...['run', '--rm', '--network=wgnet', arg, testImage, 'true'],
    );
    assert.notEqual(status, 0);
    return stderr;
  };
  const ip6 = await refusal(`--ip6=${oneIpv6.replace(/2$/, '9')}`);
  assert.match(ip6, /user.specified IP address is supported only|no configured subnet contains IP address/);
  // The IPv6 address goes with it, so no two containers get one.
  assert.match(await refusal(`--ip=${article.firstAddress}`), /Address already in use/);
});

test('IPv6 alone, from engine 28 on: keys of 16 bytes, over an IPv4 and over an IPv6 endpoint', {
  skip: notBefore28,
}, async () => {
  const subnet = 'fd00:5::/64';
  await host.hub.exec('ip', 'address', 'add', 'fd00:5::1/64', 'dev', 'wg-hub');
  await host.hub.sync(...scheme, '--peers=5', subnet);
  for (const peer of [host.hub.endpoint, ipv6Endpoint]) {
    await host.createNetwork('wgnet', { subnet, args: ['--ipv4=false', '--ipv6'], options: { peer } });
    await host.startContainer('one', '--network=wgnet');
    assert.deepEqual(await addresses('one'), ['fd00:5::2/64']);
    await host.ping('one', 'fd00:5::1');
    await host.hub.exec('ping', '-c', '1', '-W', '5', 'fd00:5::2');
    const key = await run(wgdriver, ['keys', '--format=raw', ...scheme, 'fd00:5::2']);
    assert.equal(await host.wgShow('one', 'public-key'), key);
    assert.match(await host.enter('one', 'ip', '-6', 'route'), /^default via fd00:5::1 dev wg0/m);
    await host.clear();
  }
  // Beside a bridge, which has IPv4: that stays closed.
  await host.createNetwork('wgnet', { subnet, args: ['--ipv4=false', '--ipv6'] });
  await docker('network', 'create', '--subnet=172.30.9.0/24', 'zbridge');
  await host.startContainer('one', '--network=wgnet');
  await docker('network', 'connect', 'zbridge', 'one');
  const ping = (address: string) =>
    host.engine.tryDocker('exec', 'one', 'ping', '-c', '1', '-W', '1', address);
  await until('the bridge itself is reached', async () => (await ping('172.30.9.1')).status === 0);
  const outside = host.hub.endpoint.replace(/:.*/, '');
  assert.notEqual((await ping(outside)).status, 0);
  await host.ping('one', 'fd00:5::1');
  await host.clear();
  // Without the protection the hub's outer address would answer.
  await host.createNetwork('wgnet', {
    subnet,
    args: ['--ipv4=false', '--ipv6'],
    options: { killswitch: 'off' },
  });
  await docker('network', 'create', '--subnet=172.30.9.0/24', 'zbridge');
  await host.startContainer('one', '--network=wgnet');
  await docker('network', 'connect', 'zbridge', 'one');
  await host.ping('one', outside);
  await host.clear();
  // Files that run in one process have one hub.
  await host.hub.sync(...peersOfBoth);
});
