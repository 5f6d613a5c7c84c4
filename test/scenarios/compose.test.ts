import assert from 'node:assert/strict';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { attempt, run, sh, until } from '../../build/host/commands.ts';
import {
  type ComposeProject,
  examplesImage,
  importExamplesImage,
  openComposeExample,
} from '../../build/host/compose.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { askEngine } from '../../build/host/engine.ts';
import { hostForTests, inspect, pingUntilAnswered } from '../../build/host/host.ts';
import { article, type Hub, withHub } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();
await importExamplesImage(host.engine, host.tunnel);
const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;

/** The hub's address, and the host's own beside it: one hop away, were there another way than the tunnel. */
const hub = '192.168.5.1';
const hostOutside = '172.31.250.1';

interface Example extends ComposeProject {
  exec(service: string, ...command: string[]): Promise<string>;
  /** Pings until one is answered. */
  reach(service: string, address: string): Promise<void>;
  cannotReach(service: string, address: string): Promise<void>;
  dnsOf(service: string): Promise<readonly string[]>;
}

async function withExample(name: string, use: (example: Example) => Promise<void>): Promise<void> {
  const project = await openComposeExample(resolve('compose-examples', name), host.tunnel);
  // Not by compose, which is in Python on bookworm, and takes seconds of a busy processor for each question.
  const idOf = async (service: string) => {
    const filters = JSON.stringify({ label: [`com.docker.compose.service=${service}`] });
    const running = await askEngine('GET', `/containers/json?filters=${encodeURIComponent(filters)}`);
    return (running as { Id: string }[])[0]?.Id ?? assert.fail(`${service} does not run`);
  };
  const exec = async (service: string, ...words: string[]) =>
    host.engine.docker('exec', await idOf(service), ...words);
  try {
    await use({
      ...project,
      exec,
      async reach(service, address) {
        await exec(service, 'sh', '-c', pingUntilAnswered, 'sh', address);
      },
      async cannotReach(service, address) {
        const id = await idOf(service);
        const { status } = await attempt('docker', ['exec', id, 'ping', '-c', '1', '-W', '2', address]);
        assert.notEqual(status, 0, `${service} reaches ${address}`);
      },
      async dnsOf(service) {
        return (await inspect(await idOf(service))).HostConfig.Dns;
      },
    });
  } finally {
    // As `compose down` would, which one of the examples runs, in a fraction of the time.
    await host.clear();
    await project.remove();
  }
}

const links = async ({ exec }: Example, service: string) =>
  (await exec(service, 'ls', '/sys/class/net')).split(/\s+/).sort();

/** linux/capability.h */
const CAP_NET_RAW = 13n;

async function mayWriteFrames({ exec }: Example, service: string): Promise<boolean> {
  const capabilities = /^CapBnd:\s*(\w+)$/m.exec(await exec(service, 'cat', '/proc/1/status'))?.[1];
  return ((BigInt(`0x${capabilities}`) >> CAP_NET_RAW) & 1n) === 1n;
}

test('the example hub-and-app comes up as its README says, and the app has no other way out', () =>
  withExample('hub-and-app', async (example) => {
    const { compose, exec, reach, cannotReach } = example;
    await example.run('./setup.sh');
    await compose('up', '-d');
    await reach('app', hub);
    await exec('hub', 'ping', '-c', '1', '-W', '5', '192.168.5.2');
    assert.deepEqual(await links(example, 'app'), ['lo', 'wg0']);
    assert.deepEqual(await example.dnsOf('app'), [hub]);
    assert.equal(await mayWriteFrames(example, 'app'), false);
    assert.equal(await mayWriteFrames(example, 'hub'), true, 'as Docker gives it');

    await compose('pause', 'hub');
    await cannotReach('app', hostOutside);
    await compose('unpause', 'hub');
    await reach('app', hub);

    await compose('down');
    assert.equal(await host.engine.docker('ps', '-aq'), '');
    assert.equal(await host.engine.docker('network', 'ls', '-q', '--filter=type=custom'), '');
  }));

test('the example dual-stack: both families by the one tunnel', () =>
  withExample('dual-stack', async (example) => {
    const { compose, exec, reach } = example;
    const hubIpv6 = 'fd12:3456:789a::c0a8:501';
    await example.run('./setup.sh');
    await compose('up', '-d');
    await reach('app', hub);
    await reach('app', hubIpv6);
    assert.match(await exec('app', 'ip', '-6', 'route'), new RegExp(`^default via ${hubIpv6} dev wg0`, 'm'));
    assert.deepEqual(await links(example, 'app'), ['lo', 'wg0']);
  }));

test('enable_ipv6 beside IPv4, in the dual-stack example: refused, with the option to use and why', () =>
  withExample('dual-stack', async (example) => {
    const file = join(example.folder, 'compose.yaml');
    const text = await readFile(file, 'utf8');
    await example.run('./setup.sh');
    await writeFile(
      file,
      text
        .replace('    driver: wireguard-plugin\n', '$&    enable_ipv6: true\n')
        .replace('        - subnet: 192.168.5.0/24\n', '$&        - subnet: fd00:5::/64\n'),
    );
    await assert.rejects(
      example.compose('up', '--no-start'),
      /without --ipv6 \(compose: enable_ipv6\) and with -o io\.bestov\.wg\.ipv6=PREFIX.* so that the hub knows both/s,
    );
  }));

test(
  'the example seed-file: the hub’s file from the network, and no seed in inspection',
  { skip: inFullRun },
  () =>
    withExample('seed-file', async (example) => {
      const { compose, reach } = example;
      const output = 'secrets/hub.conf';
      await example.run('./setup.sh');
      await compose('up', '--no-start');
      const config = ['--network', 'wgnet', '--private-key-file', 'secrets/hub.key', '--format', 'setconf'];
      await example.run('wgdriver', 'endpoint-config', ...config, '--output', output);
      await compose('up', '-d');
      await reach('app', hub);
      assert.deepEqual(await example.dnsOf('app'), [hub]);
      const seed = await run('cat', ['/etc/wgdriver/app.seed']);
      assert(!(await host.engine.docker('network', 'inspect', 'wgnet')).includes(seed));
      await run('rm', ['-r', '/etc/wgdriver']);
    }),
);

test('the example split-tunnel: the office by the tunnel, all else by the bridge', { skip: inFullRun }, () =>
  withExample('split-tunnel', async (example) => {
    const { compose, exec, reach, cannotReach } = example;
    const office = '10.20.0.1';
    await example.run('./setup.sh');
    await compose('up', '-d');
    await reach('app', office);
    await reach('app', hostOutside);
    const routes = await exec('app', 'ip', 'route');
    assert.match(routes, /^default via 172\.31\.250\.9 dev eth/m);
    // In the driver's own table, so that a network whose subnet it holds can be connected later.
    assert.match(await exec('app', 'ip', 'route', 'get', office), / dev wg0 /);
    assert.deepEqual(await example.dnsOf('app'), [office]);

    // Not paused: the kernel's WireGuard answers without the processes of its container.
    await compose('stop', 'hub');
    await cannotReach('app', office);
    await reach('app', hostOutside);
  }),
);

test(
  'the example two-networks: each app has its own tunnel, and does not reach the other',
  { skip: inFullRun },
  () =>
    withExample('two-networks', async (example) => {
      const { compose, reach, cannotReach } = example;
      await example.run('./setup.sh');
      await compose('up', '-d');
      await reach('app-blue', hub);
      await reach('app-green', '192.168.6.1');
      for (const [app, other] of [
        ['app-blue', '192.168.6.2'],
        ['app-green', '192.168.5.2'],
      ] as const) {
        assert.deepEqual(await links(example, app), ['lo', 'wg0']);
        await cannotReach(app, other);
        await cannotReach(app, hostOutside);
      }
      assert.deepEqual(await example.dnsOf('app-green'), ['192.168.6.1']);
    }),
);

test('the example remote-hub: what the app sends leaves the hub with the hub’s address', {
  skip: inFullRun,
}, async () => {
  // The Internet, which knows of no tunnel: one machine with the hub between.
  const world = '203.0.113.9';
  await sh(
    `ip netns add remote
     ip netns add world
     ip link add remote-host type veth peer name eth0 netns remote
     ip -n remote link add eth1 type veth peer name eth0 netns world
     ip address add 10.98.0.1/24 dev remote-host
     ip link set remote-host up
     ip -n remote address add 10.98.0.2/24 dev eth0
     ip -n remote address add 203.0.113.1/24 dev eth1
     ip -n world address add $1/24 dev eth0
     for link in lo eth0 eth1; do ip -n remote link set $link up; done
     for link in lo eth0; do ip -n world link set $link up; done`,
    world,
  );
  try {
    await withExample('remote-hub', async (example) => {
      const { compose, exec, reach, cannotReach } = example;
      const there = join(example.folder, 'there');
      const onHub = (script: string) =>
        run('ip', [
          ...['netns', 'exec', 'remote', 'sh', '-euc'],
          `mount --bind "$1" /etc/wireguard; cd "$1"; ${script}`,
          ...['sh', there],
        ]);
      await mkdir(there);
      const hubKey = await onHub(
        'umask 077; wg genkey >/etc/wireguard/wg0.key; wg pubkey </etc/wireguard/wg0.key',
      );
      await example.run('./setup.sh', '10.98.0.2:51820', hubKey);
      await cp(join(example.folder, 'secrets/wg0.conf'), join(there, 'wg0.conf'));
      await cp(join(example.folder, 'hub.sh'), join(there, 'hub.sh'));
      await onHub('./hub.sh');
      await compose('up', '-d');
      await reach('app', hub);
      // It has no route back but to the hub, so an answer means that the hub's address was on the question.
      await reach('app', world);
      assert.deepEqual(await links(example, 'app'), ['lo', 'wg0']);
      assert.match(await exec('app', 'ip', 'route'), /^default via 192\.168\.5\.1 dev wg0/m);
      assert.deepEqual(await example.dnsOf('app'), ['9.9.9.9']);

      await onHub('wg-quick down ./wg0.conf; iptables -t nat -F POSTROUTING');
      await cannotReach('app', '10.98.0.1');

      // The same by `wgdriver hub`, with the key that it had.
      const readme = await readFile('compose-examples/remote-hub/README.md', 'utf8');
      const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(readme) ?? [];
      await writeFile(join(there, 'hub.yaml'), yaml);
      await cp(join(example.folder, 'secrets/seed'), join(there, 'app.seed'));
      const options = `--config ${there}/hub.yaml --state-dir ${there}/state`;
      assert.match(
        await onHub(`${wgdriver} hub check --config ${there}/hub.yaml`),
        /no firewall .* blocks it/,
      );
      const words = ['netns', 'exec', 'remote', wgdriver, 'hub', 'serve', ...options.split(' ')];
      const serve = startDaemon('ip', words);
      try {
        await untilReady(serve, 'the hub serves', () => serve.output().includes(' serving '));
        await reach('app', world);
      } finally {
        await serve.stop();
        await onHub(`${wgdriver} hub down ${options}`);
      }
    });
  } finally {
    await sh('ip netns delete remote; ip netns delete world');
  }
});

/** A hub that plays a VPN provider, and the file that it gives its one customer, in the secrets folder. */
async function withProvider(
  { name, hop, file }: { readonly name: string; readonly hop: number; readonly file: string },
  use: (provider: Hub, becomeCustomer: (address: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const settings = { tunnel: host.tunnel, name, hop, address: '10.64.0.1/24' };
  await withHub(settings, async (provider) => {
    await provider.configure(`--seed=${article.seed}`, '--peers=1', '10.64.0.0/24');
    const path = `/etc/wgdriver/${file}`;
    let known = '';
    /** With a key of its own; the provider forgets the one before. */
    const becomeCustomer = async (address: string) => {
      const [privateKey = '', publicKey = ''] = (
        await sh('key=$(wg genkey); echo "$key"; echo "$key" | wg pubkey')
      ).split('\n');
      if (known !== '') {
        await provider.exec('wg', 'set', `wg-${name}`, 'peer', known, 'remove');
      }
      await provider.exec('wg', 'set', `wg-${name}`, 'peer', publicKey, 'allowed-ips', `${address}/32`);
      known = publicKey;
      const text = `[Interface]\nPrivateKey = ${privateKey}\nAddress = ${address}/32\n\n[Peer]\nPublicKey = ${provider.publicKey}
AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = ${provider.endpoint}\nPersistentKeepalive = 25\n`;
      await writeFile(path, text, { mode: 0o600 });
    };
    await mkdir('/etc/wgdriver', { recursive: true });
    await becomeCustomer('10.64.0.7');
    try {
      await use(provider, becomeCustomer);
    } finally {
      await run('rm', [path]);
    }
  });
}

test('the example shared-tunnel: all services behind one file, and the page of one on the host', () =>
  withProvider({ name: 'provider', hop: 3, file: 'provider.conf' }, (provider, becomeCustomer) =>
    withExample('shared-tunnel', async (example) => {
      const { compose, reach, cannotReach, exec } = example;
      const services = ['client', 'helper', 'second-helper'];
      await compose('up', '-d');
      for (const service of services) {
        await reach(service, '10.64.0.1');
        assert.deepEqual(await example.dnsOf(service), ['10.77.0.1']);
      }
      if (isFull) {
        // The file changes while all run, and then while nothing does; shared-tunnel.test.ts has both with one container.
        await becomeCustomer('10.64.0.8');
        assert.match(
          await example.run('wgdriver', 'reload'),
          /: 1 running links reloaded, 1 with a new key$/m,
        );
        for (const service of services) {
          await reach(service, '10.64.0.1');
        }
        await compose('down');
        await becomeCustomer('10.64.0.9');
        await compose('up', '-d');
        for (const service of services) {
          await reach(service, '10.64.0.1');
        }
      }
      assert.match(await exec('helper', 'wget', '-qO-', 'http://client:8080/'), /^hello$/m);
      await until(
        'the page is on the host',
        async () =>
          (await attempt('busybox', ['wget', '-qO-', 'http://127.0.0.1:8080/'])).stdout === 'hello\n',
      );
      assert.deepEqual(await links(example, 'helper'), ['lo', 'wg0']);
      await provider.exec('ip', 'link', 'set', 'wg-provider', 'down');
      // The provider’s own address on the way there, past the tunnel.
      await cannotReach('client', '10.99.3.2');
      await cannotReach('helper', '10.99.3.2');
    }),
  ));

test('the example provider-file: the app is the file’s peer, and has no other way out', () =>
  withProvider({ name: 'provider', hop: 3, file: 'provider.conf' }, (provider) =>
    withExample('provider-file', async (example) => {
      const { compose, reach, cannotReach, exec } = example;
      await compose('up', '-d');
      await reach('app', '10.64.0.1');
      assert.match(await exec('app', 'ip', '-brief', 'address', 'show', 'wg0'), / 10\.64\.0\.7\/32/);
      assert.deepEqual(await links(example, 'app'), ['lo', 'wg0']);
      assert.deepEqual(await example.dnsOf('app'), ['10.64.0.1']);
      await provider.exec('ip', 'link', 'set', 'wg-provider', 'down');
      await cannotReach('app', '10.99.3.2');
    }),
  ));

test(
  'the example two-providers: each app by its own file, with the same address',
  { skip: !isFull && 'in the full run' },
  () =>
    withProvider({ name: 'one', hop: 3, file: 'first.conf' }, (one) =>
      withProvider({ name: 'two', hop: 4, file: 'second.conf' }, async (two) => {
        // Behind either provider alone.
        await one.exec('ip', 'address', 'add', '203.0.113.1/32', 'dev', 'lo');
        await two.exec('ip', 'address', 'add', '203.0.113.2/32', 'dev', 'lo');
        await withExample('two-providers', async ({ compose, reach, cannotReach }) => {
          await compose('up', '-d');
          await reach('first-app', '203.0.113.1');
          await reach('second-app', '203.0.113.2');
          await cannotReach('first-app', '203.0.113.2');
          await cannotReach('first-app', '10.77.2.2');
          await one.exec('ip', 'link', 'set', 'wg-one', 'down');
          await cannotReach('first-app', '10.99.4.2');
          await reach('second-app', '203.0.113.2');
        });
      }),
    ),
);

test('driver_opts under a service’s network: a key and a keepalive of its own', {
  skip: inFullRun,
}, async (t) => {
  await withExample('provider-file', async ({ folder, compose, reach }) => {
    const [, major = 0, minor = 0, patch = 0] =
      /(\d+)\.(\d+)\.(\d+)/.exec(await compose('version'))?.map(Number) ?? [];
    if (major < 2 || (major === 2 && (minor < 27 || (minor === 27 && patch < 1)))) {
      return t.skip('Compose 2.27.1 brought them');
    }
    const key = join(folder, 'app.key');
    const publicKey = await sh('umask 077; wg genkey >"$1"; wg pubkey <"$1"', key);
    await writeFile(
      join(folder, 'compose.yaml'),
      `services:
  app:
    image: ${examplesImage}
    command: sleep 100000
    cap_drop: [NET_RAW]
    networks:
      tunnel:
        ipv4_address: 192.168.5.77
        driver_opts:
          io.bestov.wg.privatekeyfile: ${key}
          io.bestov.wg.keepalive: "7"
networks:
  tunnel: { external: true, name: wgnet }
`,
    );
    await host.createNetwork('wgnet');
    await host.hub.keepingPeers(async () => {
      await host.hub.exec('wg', 'set', 'wg-hub', 'peer', publicKey, 'allowed-ips', '192.168.5.77/32');
      await compose('up', '-d');
      await reach('app', hub);
      const app = await host.engine.docker('ps', '--quiet');
      assert.match(await host.wgShow(app, 'persistent-keepalive'), /\t7$/);
    });
  });
});

test('the example hub-on-this-host: the phone and the app reach one another', async () => {
  const link = 'wg-home';
  await sh(
    `ip netns add phone
     ip link add phone-host type veth peer name eth0 netns phone
     ip address add 10.97.0.1/24 dev phone-host; ip link set phone-host up
     ip -n phone address add 10.97.0.2/24 dev eth0; ip -n phone link set eth0 up; ip -n phone link set lo up`,
  );
  const rules = (await run('iptables', ['-S', 'DOCKER-USER'])).split('\n');
  try {
    await withExample('hub-on-this-host', async (example) => {
      const { compose, reach, cannotReach } = example;
      await example.run('./setup.sh', '10.97.0.1');
      await compose('up', '-d');
      await reach('app', hub);
      assert.deepEqual(await links(example, 'app'), ['lo', 'wg0']);
      const onPhone = (...command: string[]) => run('ip', ['netns', 'exec', 'phone', ...command]);
      await onPhone('wg-quick', 'up', join(example.folder, 'secrets/phone.conf'));
      await onPhone('sh', '-c', pingUntilAnswered, 'sh', '192.168.5.2');
      await reach('app', '192.168.5.9');
      // Again, as after a reboot.
      await example.run('./setup.sh', '10.97.0.1');
      await cannotReach('app', '10.97.0.2');
      // Both ends of the containers' tunnels take a new seed by one command.
      await example.run('sh', '-c', 'wgdriver keys seed >secrets/seed');
      assert.match(await example.run('wgdriver', 'reload'), /: 1 running links reloaded, 1 with a new key$/);
      await onPhone('sh', '-c', pingUntilAnswered, 'sh', '192.168.5.2');
      await onPhone('wg-quick', 'down', join(example.folder, 'secrets/phone.conf'));
    });
  } finally {
    await sh('ip netns delete phone; ip link delete $1', link);
    for (const rule of (await run('iptables', ['-S', 'DOCKER-USER'])).split('\n')) {
      if (!rules.includes(rule)) {
        await run('iptables', rule.replace('-A', '-D').split(' '));
      }
    }
  }
});
