/**
 * The guides that take a hub of its own, word for word on a hub and Docker hosts: how to set it up, with Docker too, IPv6
 * alone, and Swarm. But for where the image, the plugin and wireguard-tools are from, and how files get from one machine to
 * the other.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { after, test } from 'node:test';
import { testImage } from '../../build/host/engine.ts';
import { pluginFolder } from '../../build/host/plugin.ts';
import { type Guest, openLab } from '../../build/lab/index.ts';
import { blocksOf } from '../support/page-blocks.ts';
import { hostFiles, sh } from './guest-host.ts';

const lab = await openLab({ places: 2, isLong: true });
after(() => lab.close());

test('docs/hub.md, hub-files.md, ipv6.md, options.md, install.md and monitoring.md on a hub and a Docker host', async (t) => {
  const segment = lab.segment();
  const [hub, host] = await Promise.all([
    lab.boot({
      suite: 'trixie',
      hostname: 'hub',
      init: 'systemd',
      memoryMegabytes: 1024,
      files: hostFiles,
      networks: [{ segment, address: '10.77.0.1/24' }],
    }),
    lab.boot({
      // Older engines have no network without IPv4.
      suite: 'forky',
      hostname: 'host',
      init: 'systemd',
      memoryMegabytes: 1024,
      files: hostFiles,
      networks: [{ segment, address: '10.77.0.2/24' }],
    }),
  ]);
  const machines = { 'hub.example.org': hub };
  // The guide's hub has no Docker, whose engine starts in a guest with systemd.
  await sh(hub, 'systemctl stop docker.socket docker; nft flush ruleset');
  await sh(
    host,
    `echo 10.77.0.1 hub.example.org >>/etc/hosts
     mkdir -p /root/dist; mv /usr/local/bin/wgdriver /root/dist; cd /root
     ${blocksOf(sectionOf(await readFile('docs/install.md', 'utf8'), '### Bundle or executable'), 'sh')[0]}
     import_image; docker tag ${testImage} alpine`,
  );

  const page = await readFile('docs/hub.md', 'utf8');
  const setUp = sectionOf(page, '## Set it up');
  const [seed = '', onHub = '', network = ''] = blocksOf(setUp, 'sh');
  const [hubFile = ''] = blocksOf(setUp, 'yaml');
  let publicKey = '';
  const withKey = (commands = '') => commands.replace('HUB_PUBLIC_KEY', publicKey);
  const writeHub = (file: string) => sh(hub, `cat >/etc/wgdriver/hub.yaml <<'END'\n${file}END`);

  await t.test('hub.md, from the seed to the first ping', async () => {
    await runOn(host, machines, seed);
    assert.match(hubFile, /^# \/etc\/wgdriver\/hub\.yaml\n/);
    await writeHub(hubFile);
    publicKey = /public key (\S+)/.exec(await sh(hub, onHub))?.[1] ?? assert.fail('no public key');
    await sh(host, withKey(network));
  });

  await t.test('hub.md, a hub that also runs Docker', async () => {
    const guide = sectionOf(page, '## A hub that also runs Docker');
    const [setting = ''] = blocksOf(guide, 'yaml');
    const [load = '', networkThere = ''] = blocksOf(guide, 'sh');
    await sh(
      hub,
      `sysctl -qw net.ipv4.ip_forward=0; systemctl start docker; import_image; docker tag ${testImage} alpine`,
    );
    await sh(hub, withKey(networkThere));
    await sh(host, 'docker run -d --name first --network wgnet --ip 192.168.5.2 alpine sleep 100000');
    await sh(hub, 'docker run -d --name second --network wgnet alpine sleep 100000');
    // The hub forwards what a container of the one machine sends to one of the other.
    const pings = 'docker exec second ping -c 3 -W 2 192.168.5.2';
    const rulesAre = (count: number) =>
      `until [ $(iptables -S DOCKER-USER | grep -c wgdriver-hub-wg0) = ${count} ]; do sleep 0.1; done`;

    assert.match(await sh(hub, 'wgdriver hub check || [ $? = 1 ]'), /Docker has set the policy of iptables/);
    await sh(hub, `! ${pings}`);
    await writeHub(hubFile + setting);
    assert.match(await sh(hub, load), /no firewall on this host blocks it/);
    await sh(hub, `${rulesAre(2)}; ${pings}`);
    await sh(hub, `systemctl restart docker; docker start second; ${rulesAre(2)}; ${pings}`);
    await writeHub(hubFile);
    await sh(hub, `systemctl reload wgdriver-hub; ${rulesAre(0)}; ! ${pings}`);
    await sh(host, 'docker rm -f first');
    await sh(
      hub,
      `docker rm -f second; docker network rm wgnet; wgdriver service uninstall
       systemctl stop docker.socket docker; nft flush ruleset; systemctl restart wgdriver-hub`,
    );
  });

  await t.test(
    'hub.md, a laptop and a container with a key of its own; options.md of one container',
    async () => {
      const [laptop = ''] = blocksOf(sectionOf(page, '## The file'), 'yaml');
      const [clientConfig] = blocksOf(sectionOf(page, '## The file'), 'sh');
      const own = sectionOf(page, '## A container with a key of its own');
      const [makeKey = '', connect = ''] = blocksOf(own, 'sh');
      const [app = ''] = blocksOf(own, 'yaml');
      const appKey = (await sh(host, makeKey)).trim();
      await writeHub(hubFile + laptop + app.replace('clients:\n', '').replace('PUBLIC_KEY', appKey));
      await sh(hub, 'systemctl reload wgdriver-hub; wgdriver hub check');
      const output = await sh(host, `cd /root\n${withKey(clientConfig)}`);
      assert.match(await sh(host, 'cat /root/laptop.conf'), /^Endpoint = hub\.example\.org:51820$/m);
      const laptopKey = await sh(host, 'sed -n "s/^PrivateKey = //p" /root/laptop.conf | wg pubkey');
      assert.match(output, new RegExp(laptopKey.replaceAll(/[+/]/g, '.')));
      assert.match(
        await sh(hub, 'wg show wg0 allowed-ips'),
        new RegExp(`${appKey.replaceAll(/[+/]/g, '.')}\\s+192\\.168\\.5\\.77/32`),
      );
      await sh(host, connect);
      const options = sectionOf(await readFile('docs/options.md', 'utf8'), '## Options of one container');
      await sh(
        host,
        `docker network disconnect wgnet app\n${blocksOf(options, 'sh')[0]}\nping_from app 192.168.5.1`,
      );
      await sh(host, 'docker rm -f app');
    },
  );

  await t.test('hub.md, a hub with a publickeysfile gets the keys of a new seed', async () => {
    await sh(host, '(umask 077; wgdriver keys seed >/etc/wgdriver/new.seed)');
    const [keys = ''] = blocksOf(sectionOf(page, '### A hub with a publickeysfile'), 'sh');
    const [both, copy = ''] = keys.split(/\n(?=scp )/);
    await sh(host, `cd /root\n${both}`);
    await runOn(host, machines, copy.replace('app.keys', '/root/app.keys'));
    await writeHub(hubFile.replace('seedfile: app.seed', 'publickeysfile: app.keys'));
    await sh(
      hub,
      'systemctl reload wgdriver-hub; until wgdriver hub status | grep "the hub knows all new keys"; do sleep 1; done',
    );
    await sh(
      host,
      'ping_in_new() { docker run --rm --network wgnet alpine ping -c 3 192.168.5.1; }; ping_in_new',
    );
    await writeHub(hubFile);
  });

  await t.test('install.md, a part of the subnet', async () => {
    const several = sectionOf(await readFile('docs/install.md', 'utf8'), '## Several hosts');
    await sh(host, 'docker network rm wgnet');
    await sh(host, withKey(blocksOf(several, 'sh')[0]));
    assert.match(
      await sh(host, 'docker run --rm --network wgnet alpine ip address show wg0'),
      /inet 192\.168\.5\.64\/24/,
    );
    await sh(host, 'docker network rm wgnet');
  });

  await t.test('ipv6.md, both families and IPv6 alone', async () => {
    const ipv6 = await readFile('docs/ipv6.md', 'utf8');
    await writeHub(hubFile.replace('    seedfile', '    ipv6: fd12:3456:789a::/64\n    seedfile'));
    await sh(hub, 'systemctl reload wgdriver-hub');
    await sh(host, withKey(blocksOf(sectionOf(ipv6, '## Both families'), 'sh')[0]));
    const both =
      'docker run --rm --network wgnet --dns 192.168.5.1 alpine ping -c 3 fd12:3456:789a::c0a8:501';
    assert.match(await sh(host, both), / 0% packet loss/);
    await sh(host, 'docker network rm wgnet');

    const alone = sectionOf(ipv6, '## IPv6 alone');
    const [onHubAlone = '', networkAlone = '', container = ''] = blocksOf(alone, 'sh');
    await writeHub(blocksOf(alone, 'yaml')[0] ?? '');
    assert.match(await sh(hub, onHubAlone), /network app: 0 of 100 peers/);
    await sh(host, withKey(networkAlone));
    const output = await sh(host, container);
    assert.match(output, /default via fd00:5::1 dev wg0/);
    assert.match(output, / 0% packet loss/);
    await sh(host, 'docker rm -f app; docker network rm wgnet6');
  });

  await t.test('hub-files.md: the hub by wg-quick, other peers for it, and a new seed', async () => {
    const files = await readFile('docs/hub-files.md', 'utf8');
    const [first = '', withoutDocker = ''] = blocksOf(files, 'sh');
    const [makeKey = '', write = '', copy = '', up = ''] = first.split('\n\n');
    await sh(hub, 'wgdriver hub uninstall; wgdriver hub down');
    publicKey = (await sh(hub, makeKey)).trim();
    await sh(host, withKey(network).split('\ndocker run')[0] ?? '');
    await runOn(host, machines, `${write}\n${copy}`);
    await sh(hub, up);
    const pinged = 'ping_from app 192.168.5.1';
    await sh(
      host,
      `docker run -d --name app --network wgnet --dns 192.168.5.1 alpine sleep infinity; ${pinged}
       cd /etc/wgdriver; ${withoutDocker}grep -qx '# wgdriver: end of peers' wg0.conf; rm wg0.conf`,
    );

    const changes = sectionOf(files, '## Changing peers without interrupting sessions');
    const hubKey = await sh(hub, 'cat /etc/wireguard/wg0.key');
    await sh(host, `umask 077; echo ${hubKey} >/root/hub.key`);
    for (const block of blocksOf(changes, 'sh')) {
      const [onHost = '', onHub = ''] = block.split('\n\n');
      await runOn(host, machines, onHost);
      const before = await sh(hub, 'wg show wg0 latest-handshakes');
      await sh(hub, onHub);
      assert.equal(await sh(hub, 'wg show wg0 latest-handshakes'), before, 'sessions go on');
      await sh(host, pinged);
    }

    const [make = '', load = '', reload = ''] = blocksOf(sectionOf(files, '## Rotating keys'), 'sh');
    await sh(host, 'mv /etc/wgdriver/new.seed /etc/wgdriver/app.seed');
    await runOn(host, machines, make);
    await sh(hub, load);
    await sh(host, `${reload}\n${pinged}; docker rm -f app; docker network rm wgnet`);
  });

  await t.test('hub.md, a hub on the Docker host itself', async () => {
    const [create = '', enable = ''] = blocksOf(sectionOf(page, '## A hub on the Docker host itself'), 'sh');
    assert.match(enable, /^systemctl enable wg-quick@wg0 .*\nsystemctl edit wg-quick@wg0 .*\n$/);
    await sh(
      host,
      `umask 077
       printf '[Interface]\\nPrivateKey = %s\\nListenPort = 51820\\nAddress = 192.168.5.1/24\\n' $(wg genkey) >/etc/wireguard/wg0.conf
       systemctl enable --now wg-quick@wg0
       ${create}
       docker run --rm --network wgnet --dns 192.168.5.1 alpine ping -c 3 192.168.5.1`,
    );
  });

  await t.test('monitoring.md, from the option to the metrics', async () => {
    const metrics = sectionOf(await readFile('docs/monitoring.md', 'utf8'), '## Metrics');
    const [option = '', look = ''] = blocksOf(metrics, 'sh');
    // A guest has no curl(1).
    const curl = 'curl() { until busybox wget -qO- "$1"; do sleep 1; done; }';
    const shown = await sh(host, `cat >/etc/default/wgdriver <<'END'\n${option}END\n${curl}\n${look}`);
    assert.match(shown, /^wgdriver_build_info\{/m);
  });
  await Promise.all([hub, host].map((guest) => guest.powerOff({ hard: true })));
});

test('docs/swarm.md from the plugin to a ping, with both scopes', async () => {
  const segment = lab.segment();
  const boot = (hostname: string, address: string, memoryMegabytes: number) =>
    lab.boot({
      suite: 'trixie',
      hostname,
      init: 'systemd',
      memoryMegabytes,
      files: {
        ...hostFiles,
        '/root/plugin': pluginFolder,
        '/root/compose-examples': resolve('compose-examples'),
      },
      networks: [{ segment, address: `${address}/24` }],
    });
  const [hub, ...nodes] = await Promise.all([
    boot('hub', '10.77.0.1', 1024),
    boot('node1', '10.77.0.2', 2048),
    boot('node2', '10.77.0.3', 2048),
  ]);
  const [manager, worker] = nodes;
  assert(manager && worker);
  const machines = { 'hub.example.org': hub, NODE: worker };
  await sh(hub, 'systemctl stop docker.socket docker; nft flush ruleset');
  // The engine mounts that file into plugins.
  await Promise.all(nodes.map((node) => sh(node, `touch /etc/resolv.conf; import_image; ${imageWithPing}`)));

  const [, steps = ''] = (await readFile('docs/swarm.md', 'utf8')).split('\n## From nothing to a ping\n');
  const [build, install, init, seed, hubKey, hubFile, hubUp, global, node, local, ping] = blocksOf(
    steps,
    'sh',
  );
  assert(build && install && init && seed && hubKey && hubFile && hubUp && global && node && local && ping);
  for (const each of nodes) {
    await sh(each, `cd /root\n${install}`, 600);
  }
  const [join] =
    /docker swarm join .*/.exec(await sh(manager, init)) ?? assert.fail('no line for other nodes');
  await sh(worker, join);
  await runOn(manager, machines, seed);
  const publicKey = (await sh(hub, hubKey.replace('apt-get install -y wireguard-tools\n', ''))).trim();
  await runOn(manager, machines, hubFile);
  await sh(hub, hubUp);

  // Plugins have no /etc/hosts for the hub's name.
  const filled = (commands: string) =>
    commands
      .replaceAll('hub.example.org', '10.77.0.1')
      .replace('HUB_PUBLIC_KEY=…', `HUB_PUBLIC_KEY=${publicKey}`)
      .replace(' HUB_PUBLIC_KEY ', ` ${publicKey} `);
  const [, undo = '', ...undoLocal] =
    /^To undo it: `(.*?)`.*`(.*)` on a\s+manager, and `(.*)` on/m.exec(steps) ?? [];
  const pings = async () => {
    await sh(manager, 'until [ -n "$(docker ps -q --filter name=app_web)" ]; do sleep 1; done');
    assert.match(await sh(manager, ping), / 0% packet loss/);
    await sh(manager, undo);
    for (const each of nodes) {
      await sh(each, 'while docker ps -aq | grep -q .; do sleep 1; done');
    }
  };

  await sh(manager, `cd /root/compose-examples/swarm-global\n${filled(global)}`);
  await pings();
  await sh(manager, 'while docker network ls | grep -q app_tunnel; do sleep 1; done');

  for (const each of nodes) {
    await sh(
      each,
      `docker plugin disable -f wireguard-plugin:latest
       docker plugin set wireguard-plugin:latest WGDRIVER_SCOPE=local
       docker plugin enable wireguard-plugin:latest`,
    );
  }
  for (const [each, range] of [
    [manager, '192.168.5.64/26'],
    [worker, '192.168.5.128/26'],
  ] as const) {
    await sh(
      each,
      `cd /root/compose-examples/swarm-local\n${filled(node).replace('192.168.5.64/26', range)}`,
    );
  }
  await sh(manager, `cd /root/compose-examples/swarm-local\n${local}`);
  await pings();
  const [network = '', config = ''] = undoLocal;
  await sh(manager, network);
  await Promise.all(nodes.map((each) => sh(each, config)));
  await Promise.all([hub, ...nodes].map((guest) => guest.powerOff({ hard: true })));
});

function sectionOf(page: string, title: string): string {
  return page.split(`\n${title}\n`)[1]?.split(/^## /m)[0] ?? assert.fail(`no section ${title}`);
}

/** Script: that image with this machine's ping, as the stack's containers have no NET_RAW and busybox cannot ping without. */
const imageWithPing = `
  rm /root/image/bin/ping
  for file in $(command -v ping) $(ldd $(command -v ping) | grep -o '/[^ ]*'); do
    mkdir -p /root/image$(dirname $file)
    cp -L $file /root/image$file
  done
  tar -C /root/image -c . | docker import --change 'ENV PATH=/usr/bin:/bin' - alpine
`;

/**
 * Commands of a machine, in root's home; what it runs on others by ssh(1), or copies there by scp(1), gets there without them.
 */
async function runOn(
  machine: Guest,
  others: Readonly<Record<string, Guest>>,
  commands: string,
): Promise<void> {
  const named = (name = '') => others[name] ?? assert.fail(`no machine ${name}`);
  for (const line of commands.trim().split(/(?<!\\)\n/)) {
    const ssh = /^ssh root@(?<name>\S+) (?<command>.*)/.exec(line)?.groups;
    const scp = /^scp (?<files>.+) root@(?<name>[^:]+):(?<folder>\S+)/.exec(line)?.groups;
    if (ssh !== undefined) {
      await sh(named(ssh.name), ssh.command ?? '');
    } else if (scp !== undefined) {
      for (const file of scp.files?.split(' ') ?? []) {
        const content = await sh(machine, `cd /root; base64 -w 0 ${file}`);
        const copy = `${scp.folder}$(basename ${file})`;
        await sh(named(scp.name), `umask 077; base64 -d <<<${content} >${copy}`);
      }
    } else {
      await sh(machine, `cd /root\n${line}`);
    }
  }
}
