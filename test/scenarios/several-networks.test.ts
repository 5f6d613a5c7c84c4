/** Containers on several networks. What is expected here is told to users in docs/default-route.md. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attempt, until } from '../../build/host/commands.ts';
import { startDriver, wgdriver } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article, withHub } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();

const isFrom28 = Number.parseInt(host.engine.version, 10) >= 28;
/** docker run with several networks came with the client of 25. */
const isFrom25 = Number.parseInt(host.engine.version, 10) >= 25;

interface OtherNetwork {
  readonly args: readonly string[];
  readonly gateways: readonly string[];
}

/** Beside wgnet, whose name is between theirs. */
const bridges = {
  abridge: { args: ['--subnet=172.30.1.0/24'], gateways: ['172.30.1.1'] },
  ainternal: { args: ['--subnet=172.30.2.0/24', '--internal'], gateways: ['172.30.2.1'] },
  zbridge: { args: ['--subnet=172.30.3.0/24'], gateways: ['172.30.3.1'] },
  zbridge6: {
    args: ['--subnet=172.30.4.0/24', '--ipv6', '--subnet=fd00:30::/64'],
    gateways: ['172.30.4.1', 'fd00:30::1'],
  },
} as const satisfies Record<string, OtherNetwork>;
type Bridge = keyof typeof bridges;

const gateways = new Map([
  ['192.168.5.1', 'wgnet'],
  ['192.168.6.1', 'awgnet'],
  ...Object.entries(bridges).flatMap(([name, bridge]) =>
    bridge.gateways.map((gateway) => [gateway, name] as const),
  ),
]);

function createBridge(name: Bridge): Promise<string> {
  return host.engine.docker('network', 'create', ...bridges[name].args, name);
}

interface DefaultNetworks {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

/** The networks whose gateways the default routes of containers lead to, as their own routing tables say. */
async function defaultNetworks(...containers: readonly string[]): Promise<Record<string, DefaultNetworks>> {
  const routes: Record<string, DefaultNetworks> = {};
  for (const container of containers) {
    const ipv4 = networkIn(await host.enter(container, 'ip', '-4', 'route'));
    const ipv6 = networkIn(await host.enter(container, 'ip', '-6', 'route'));
    routes[container] = { ...(ipv4 === undefined ? {} : { ipv4 }), ...(ipv6 === undefined ? {} : { ipv6 }) };
  }
  return routes;
}

function networkIn(routes: string): string | undefined {
  const found = [...routes.matchAll(/^default via (\S+) /gm)];
  assert.ok(found.length < 2, `one default route at most:\n${routes}`);
  assert.equal(found.length, routes.match(/^default/gm)?.length ?? 0, `none without a gateway:\n${routes}`);
  return found.map(([, gateway = '']) => gateways.get(gateway) ?? gateway)[0];
}

/** What doctor says of the traffic of each container that leaves in clear. */
async function leaksByDoctor(): Promise<string[]> {
  const { stdout } = await attempt(wgdriver, ['doctor', '--json']);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string; cause: string }[] };
  const { status, cause } =
    checks.find(({ name }) => name === 'default-route') ?? assert.fail('no such check');
  if (status === 'pass') {
    return [];
  }
  assert.equal(status, 'warn');
  return cause.replace(/^.*: /, '').split(', ').sort();
}

/** What doctor must say, from the routes that containers have. */
function leaksOf(routes: Readonly<Record<string, DefaultNetworks>>): string[] {
  const isClear = (network: string | undefined) => network !== undefined && network in bridges;
  return Object.entries(routes)
    .flatMap(([container, { ipv4, ipv6 }]) => {
      if (isClear(ipv4)) {
        return `${container} by ${ipv4}`;
      }
      return isClear(ipv6) ? `${container} by ${ipv6} (IPv6)` : [];
    })
    .sort();
}

/** Where the default routes of a container on wgnet and one bridge lead. */
const expected: Readonly<Record<Bridge, DefaultNetworks>> = {
  abridge: { ipv4: 'abridge' },
  ainternal: { ipv4: 'wgnet' },
  zbridge: { ipv4: 'wgnet' },
  // It has more families, which counts before the name.
  zbridge6: { ipv4: 'zbridge6', ipv6: 'zbridge6' },
};
const names = Object.keys(bridges) as Bridge[];

/** The engine's own routing, which the kill switch overrules. */
const off = { options: { killswitch: 'off' } };

test('wgnet and a bridge, connected later, at the start, disconnected: who has the default route', async () => {
  await host.createNetwork('wgnet', off);
  // Containers are called as the bridge that they are on.
  for (const name of names) {
    await createBridge(name);
    await host.startContainer(name, '--network=wgnet');
    await host.engine.docker('network', 'connect', name, name);
  }
  const later = await defaultNetworks(...names);
  assert.deepEqual(later, expected);
  assert.deepEqual(await leaksByDoctor(), leaksOf(later));

  await host.engine.docker('restart', '-t', '0', ...names);
  const atStart = await defaultNetworks(...names);
  assert.deepEqual(atStart, expected);
  assert.deepEqual(await leaksByDoctor(), leaksOf(atStart));
  await host.ping('abridge', host.hub.address);

  for (const name of names) {
    await host.engine.docker('network', 'disconnect', name, name);
  }
  const alone = await defaultNetworks(...names);
  assert.deepEqual(alone, Object.fromEntries(names.map((name) => [name, { ipv4: 'wgnet' }])));
  assert.deepEqual(await leaksByDoctor(), []);
  await host.ping('abridge', host.hub.address);
});

test('a bridge first and wgnet later, and wgnet taken away again', { skip: inFullRun }, async () => {
  await host.createNetwork('wgnet', off);
  const pair = ['abridge', 'zbridge'] as const;
  for (const name of pair) {
    await createBridge(name);
    if (isFrom25) {
      const networks = [`--network=${name}`, '--network=wgnet'];
      await host.engine.docker('run', '-d', `--name=${name}`, ...networks, testImage, 'sleep', '100000');
    } else {
      await host.startContainer(name, `--network=${name}`);
      await host.engine.docker('network', 'connect', 'wgnet', name);
    }
  }
  const routes = await defaultNetworks(...pair);
  assert.deepEqual(routes, { abridge: expected.abridge, zbridge: expected.zbridge });
  assert.deepEqual(await leaksByDoctor(), leaksOf(routes));
  await host.ping('abridge', host.hub.address);

  await host.engine.docker('network', 'disconnect', 'wgnet', 'zbridge');
  assert.deepEqual(await defaultNetworks('zbridge'), { zbridge: { ipv4: 'zbridge' } });
  assert.deepEqual(
    await leaksByDoctor(),
    leaksOf({ abridge: routes.abridge ?? {} }),
    'it is no container of ours now',
  );
});

test('with its kill switch the tunnel has it all, whatever the engine chose, until it is taken away', async () => {
  await host.createNetwork('wgnet');
  const wayOut = async () => {
    // Unreachable until the tunnel's link is up.
    const route = await host.enter('one', 'ip', 'route', 'get', '203.0.113.1').catch(() => '');
    return / dev (\w+) /.exec(route)?.[1];
  };
  await createBridge('zbridge6');
  await host.startContainer('one', '--network=zbridge6');
  assert.equal(await wayOut(), 'eth0');
  await host.engine.docker('network', 'connect', 'wgnet', 'one');
  await until('the tunnel has it all', async () => (await wayOut()) === 'wg0');
  assert.deepEqual(await defaultNetworks('one'), { one: { ipv4: 'zbridge6', ipv6: 'zbridge6' } });
  await assert.rejects(
    host.enter('one', 'ip', '-6', 'route', 'get', '2001:db8::1'),
    /No route to host|unreachable/,
  );
  assert.deepEqual(await leaksByDoctor(), []);
  await host.ping('one', host.hub.address);

  await host.engine.docker('network', 'disconnect', 'wgnet', 'one');
  // A sharer of its namespace may run yet: it stays closed for ten seconds.
  assert.equal(await wayOut(), undefined);
  await until('the protection is gone', async () => (await wayOut()) === 'eth0');
  const rules = await host.enter('one', 'ip', 'rule');
  assert.doesNotMatch(rules, /3056|32765/);
});

/** What a container can send past the tunnel to, by its link to a bridge: of these addresses. */
async function sentPast(container: string, ...addresses: readonly string[]): Promise<string[]> {
  // By UDP, on a socket that is bound to the link.
  const script = `use Socket qw(inet_pton AF_INET AF_INET6 pack_sockaddr_in pack_sockaddr_in6);
    for (@ARGV) {
      my $family = /:/ ? AF_INET6 : AF_INET;
      socket S, $family, 2, 0; setsockopt S, 1, 25, "eth0\\0";
      my $address = inet_pton $family, $_;
      print "$_\\n" if send S, 'clear', 0, /:/ ? pack_sockaddr_in6(9, $address) : pack_sockaddr_in(9, $address);
    }`;
  return (await host.enter(container, 'perl', '-e', script, ...addresses)).split('\n').filter(Boolean);
}

const destinations = ['198.18.0.1', '203.0.113.1', '2001:db8:1::1', '2001:db8:2::1'];
for (const killswitch of ['on', 'strict']) {
  for (const [what, options, dns, expected] of [
    [
      'everything with exceptions of both families',
      { exclude: '203.0.113.0/24,2001:db8:1::/64' },
      host.hub.address,
      ['203.0.113.1', '2001:db8:1::1'],
    ],
    [
      'most of IPv4 and nothing of IPv6',
      { allowedips: '0.0.0.0/1,128.0.0.0/2,192.0.0.0/5,192.168.5.0/24' },
      '10.0.0.53',
      ['203.0.113.1'],
    ],
  ] as const) {
    test(`${what}, with killswitch=${killswitch}, beside a bridge with IPv6: what leaves by the bridge`, {
      skip: killswitch === 'strict' && inFullRun,
    }, async () => {
      await host.createNetwork('wgnet', { options: { ...options, killswitch } });
      await createBridge('zbridge6');
      await host.startContainer('one', '--network=zbridge6', `--dns=${dns}`);
      // Addresses of IPv6 are of no use in their first seconds.
      await until('without the tunnel all of it leaves', async () => {
        const sent = await sentPast('one', ...destinations);
        return sent.length === destinations.length;
      });
      await host.engine.docker('network', 'connect', 'wgnet', 'one');
      await host.ping('one', host.hub.address);
      const sent = () => sentPast('one', ...destinations);
      for (const begin of [async () => {}, () => host.engine.docker('restart', '-t', '0', 'one')]) {
        await begin();
        await until('the tunnel has its own', async () =>
          / dev wg0 /.test(await host.enter('one', 'ip', 'route', 'get', '198.18.0.1').catch(() => '')),
        );
        await until('what may leave does', async () => (await sent()).length >= expected.length);
        assert.deepEqual(await sent(), expected);
        // As the engine and its own tables have it, too.
        assert.match(await host.enter('one', 'ip', 'route', 'get', '203.0.113.1'), / dev eth0 /);
        await host.ping('one', host.hub.address);
      }
    });
  }
}

test('who comes in by a port that a bridge publishes is answered by it', async () => {
  await host.createNetwork('wgnet');
  await createBridge('abridge');
  await host.startContainer('one', '--network=abridge', '--publish=8080:80');
  await host.engine.docker('network', 'connect', 'wgnet', 'one');
  await host.ping('one', host.hub.address);
  await host.exec('one', 'sh', '-c', 'echo hello >/tmp/index.html; httpd -p 80 -h /tmp');
  // From beyond the bridge's subnet, with an address that is the tunnel's to the container.
  const get = 'exec 3<>/dev/tcp/10.99.0.1/8080; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3';
  assert.match(await host.hub.exec('timeout', '20', 'bash', '-c', get), /^hello$/m);
});

test('an internal wgnet and a bridge, which has the default route as it must: no warning', async () => {
  await host.createNetwork('wgnet', { args: ['--internal'] });
  await createBridge('zbridge');
  await host.startContainer('one', '--network=wgnet');
  await host.engine.docker('network', 'connect', 'zbridge', 'one');
  assert.deepEqual(await defaultNetworks('one'), { one: { ipv4: 'zbridge' } });
  assert.deepEqual(await leaksByDoctor(), []);
  await host.ping('one', host.hub.address);
});

test('two networks of ours, a hub each: both are reached, the first by name has the default route', async () => {
  const address = '192.168.6.1';
  const settings = { tunnel: host.tunnel, name: 'second', hop: 2, address: `${address}/24` };
  await withHub(settings, async (second) => {
    const subnet = '192.168.6.0/24';
    await second.configure(
      `--seed=${article.seed}`,
      `--additional=${article.additional}`,
      '--peers=10',
      subnet,
    );
    await host.createNetwork('wgnet');
    await host.createNetwork('awgnet', {
      subnet,
      options: { peer: second.endpoint, peerkey: second.publicKey },
    });
    const bothReached = async () => {
      await host.ping('one', host.hub.address);
      await host.ping('one', address);
    };

    await host.startContainer('one', '--network=wgnet');
    await host.engine.docker('network', 'connect', 'awgnet', 'one');
    assert.deepEqual(await defaultNetworks('one'), { one: { ipv4: 'awgnet' } });
    await bothReached();
    await host.engine.docker('restart', '-t', '0', 'one');
    assert.deepEqual(await defaultNetworks('one'), { one: { ipv4: 'awgnet' } });
    await bothReached();
    assert.deepEqual(await leaksByDoctor(), []);

    await host.engine.docker('network', 'disconnect', 'awgnet', 'one');
    assert.deepEqual(await defaultNetworks('one'), { one: { ipv4: 'wgnet' } });
    await host.ping('one', host.hub.address);
    await host.clear();
  });
});

test('networks of two drivers, a hub each, beside a bridge: each closes what it does not know, and takes its own away', {
  skip: inFullRun,
}, async () => {
  const [subnet, address] = ['192.168.6.0/24', '192.168.6.1'];
  const settings = { tunnel: host.tunnel, name: 'second', hop: 2, address: `${address}/24` };
  const others = ['--name=other-plugin', '--state-dir=/run/other-plugin'];
  const other = await startDriver('--backend', host.tunnel.backend, ...others);
  try {
    await withHub(settings, async (second) => {
      const keys = [`--seed=${article.seed}`, `--additional=${article.additional}`];
      await second.configure(...keys, '--peers=10', subnet);
      await createBridge('zbridge');
      await host.createNetwork('wgnet');
      await host.createNetwork('wgother', {
        driver: 'other-plugin',
        subnet,
        options: { peer: second.endpoint, peerkey: second.publicKey },
      });
      const tables = async () =>
        (await host.enter('one', 'nft', 'list', 'tables'))
          .split('\n')
          .filter((line) => / inet wgd/.test(line));
      const both = ['table inet wgdriver', 'table inet wgdriver-other-plugin'];
      const bothReached = async () => {
        await host.ping('one', host.hub.address);
        await host.ping('one', address);
      };
      const send =
        'socket S, 2, 2, 0; setsockopt S, 1, 25, "eth0\\0"; send S, "clear", 0, pack "SnC4x8", 2, 9, 203, 0, 113, 1 or die $!';
      const isClosed = () => assert.rejects(host.enter('one', 'perl', '-e', send), /not permitted/);

      await host.startContainer('one', '--network=wgnet');
      await host.engine.docker('network', 'connect', 'wgother', 'one');
      await host.engine.docker('network', 'connect', 'zbridge', 'one');
      for (const begin of [async () => {}, () => host.engine.docker('restart', '-t', '0', 'one')]) {
        await begin();
        await until('both protect it', async () => (await tables()).length === 2);
        await bothReached();
        assert.deepEqual((await tables()).sort(), both);
        await isClosed();
      }
      for (const driver of [host.driver, other]) {
        assert.match(driver.output(), /networks of two wgdrivers/);
      }

      await host.engine.docker('network', 'disconnect', 'wgother', 'one');
      await until('the other one has taken its own away', async () => (await tables()).length === 1);
      assert.deepEqual(await tables(), both.slice(0, 1));
      await isClosed();
      await host.ping('one', host.hub.address);
      await host.clear();
    });
  } finally {
    await host.clear();
    await other.stop();
  }
});

test('gw-priority decides on the default route, but against a bridge with IPv6', async (t) => {
  if (!isFrom28) {
    return t.skip('engine 28 brought gw-priority');
  }
  await host.createNetwork('wgnet', off);
  for (const name of ['abridge', 'zbridge', 'zbridge6'] as const) {
    await createBridge(name);
  }
  const start = (name: string, ...networks: string[]) =>
    host.startContainer(name, ...networks.map((network) => `--network=${network}`));
  await start('tunnel', 'name=wgnet,gw-priority=1', 'abridge');
  await start('clear', 'wgnet');
  await host.engine.docker('network', 'connect', '--gw-priority=1', 'zbridge', 'clear');
  await start('clear6', 'name=wgnet,gw-priority=1', 'zbridge6');
  const routes = await defaultNetworks('tunnel', 'clear', 'clear6');
  assert.deepEqual(routes, {
    tunnel: { ipv4: 'wgnet' },
    clear: { ipv4: 'zbridge' },
    // Not even for IPv4 does a priority help against two families (moby issue 51999).
    clear6: { ipv4: 'zbridge6', ipv6: 'zbridge6' },
  });
  assert.deepEqual(await leaksByDoctor(), leaksOf(routes));
});
