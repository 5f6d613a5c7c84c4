/**
 * A hub on a machine of its own, which also runs Docker, and two Docker hosts, each a guest on one segment: taken over from
 * 0.1.0's files, killed, upgraded, rebooted, its keys rotated, and a second link that systemd-networkd made.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundleOfFirstRelease } from '../../build/first-release.ts';
import { testImage } from '../../build/host/engine.ts';
import { tunnelIpv6 } from '../../build/host/hub.ts';
import { type Guest, openLab } from '../../build/lab/index.ts';
import { hostFiles, hubAddress, sh } from './guest-host.ts';

const suite = 'trixie';
const lab = await openLab({ places: 2, isLong: true });
after(() => lab.close());

const subnet = '192.168.5.0/24';
/** Of the network with preshared keys. */
const pskSubnet = '192.168.7.0/24';
/** Of each of the two. */
const peerCount = 30;
/** Of a rotation: less than WireGuard's next try of a handshake. The second that is promised, the bench judges. */
const mostLostSeconds = 5;
/** Of a hub that is killed in the middle of one: until systemd has it back, new keys have no address. */
const mostLostWithoutHub = 30;
const newSecret = () => randomBytes(32).toString('base64');

/** Where pings go, from a container of a guest, or from the guest itself. */
type Path = readonly [guest: () => Guest, container: string | undefined, address: string];

const functions = `
  # begin_pings ID ADDRESS [CONTAINER]: five a second; returns when one was answered
  begin_pings() {
    local enter=()
    [ $# -lt 3 ] || enter=(nsenter --net=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' $3))
    setsid "\${enter[@]}" ping -n -i 0.2 $2 </dev/null >/root/pings.$1 2>&1 &
    echo $! >/root/pings.$1.pid
    until grep -q 'bytes from' /root/pings.$1; do kill -0 $(cat /root/pings.$1.pid); sleep 0.1; done
  }

  # end_pings ID: how many were sent, and how many answered
  end_pings() {
    kill -INT $(cat /root/pings.$1.pid)
    until grep -q ' received' /root/pings.$1; do sleep 0.1; done
    sed -n 's/^\\([0-9]*\\) packets transmitted, \\([0-9]*\\) received.*/\\1 \\2/p' /root/pings.$1
  }

  # until_says TEXT COMMAND...: waits until its output has the text
  until_says() {
    local text=$1 tries=150 output
    shift
    until output=$("$@" 2>&1) && grep -qF -- "$text" <<<"$output"; do
      ((tries -= 1)) || { echo "in vain: $text: $output"; return 1; }
      sleep 0.2
    done
  }

  until_active() { until systemctl -q is-active $1; do sleep 0.1; done; }
`;
const on = (guest: Guest, script: string) => sh(guest, functions + script);

/** What pings lost while something was done, in seconds of each path. */
async function lostWhile(paths: readonly Path[], act: () => Promise<unknown>): Promise<readonly number[]> {
  for (const [index, [guest, container = '', address]] of paths.entries()) {
    await on(guest(), `begin_pings ${index} ${address} ${container}`);
  }
  await act();
  await sleep(1000);
  const lost: number[] = [];
  for (const [index, [guest]] of paths.entries()) {
    const [sent = Number.NaN, answered = Number.NaN] = (await on(guest(), `end_pings ${index}`))
      .split(' ')
      .map(Number);
    assert(sent > 10, `${sent} pings sent`);
    // The last one may be under way.
    lost.push(Math.max(0, sent - answered - 1) * 0.2);
  }
  return lost.map((seconds) => Number(seconds.toFixed(1)));
}

/** Bytes that the hub has received of a link's peers, by key: a peer that is removed and added again begins at 0. */
async function received(hub: Guest, link: string): Promise<ReadonlyMap<string, number>> {
  const lines = (await on(hub, `wg show ${link} transfer`)).split('\n').map((line) => line.split('\t'));
  return new Map(lines.map(([key = '', bytes]) => [key, Number(bytes)]));
}

function expectNoneAnew(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): void {
  assert([...before.values()].some((bytes) => bytes > 0));
  for (const [key, bytes] of before) {
    assert((now.get(key) ?? -1) >= bytes, `peer ${key}: ${bytes} bytes, then ${now.get(key)}`);
  }
}

test('a hub and two Docker hosts', async (t) => {
  let failed = false;
  /** Each builds on those before it. */
  const part = (name: string, act: () => Promise<void>) =>
    t.test(name, { skip: failed && 'a part before it failed' }, async () => {
      failed = true;
      await act();
      failed = false;
    });
  const firstRelease = bundleOfFirstRelease();
  assert(firstRelease, 'the bundle of 0.1.0');
  const segment = lab.segment();
  const at = (address: string) => [{ segment, address: `${address}/24` }];
  const [seed, additional] = [newSecret(), newSecret()];
  const hubOptions = {
    suite,
    disk: await lab.disk(suite),
    hostname: 'hub',
    init: 'systemd',
    engine: true,
    memoryMegabytes: 1024,
    networks: at('10.77.0.1'),
  } as const;
  const host = {
    suite,
    memoryMegabytes: 1024,
    files: {
      ...hostFiles,
      '/etc/wgdriver/app.seed': Buffer.from(seed),
      '/etc/wgdriver/app.additional': Buffer.from(additional),
    },
  } as const;
  const booted = await Promise.all([
    lab.boot({
      ...hubOptions,
      files: { ...host.files, '/usr/local/bin/wgdriver-old': firstRelease },
    }),
    lab.boot({ ...host, hostname: 'one', networks: at('10.77.0.2') }),
    lab.boot({ ...host, hostname: 'two', networks: at('10.77.0.3') }),
  ]);
  const [, one, two] = booted;
  let [hub] = booted;
  const onHosts = (script: string) => Promise.all([one, two].map((guest) => on(guest, script)));
  const [atHub, atOne, atTwo] = [() => hub, () => one, () => two];

  let seedFiles = ['app.seed'];
  let hasPsk = false;
  let more = '';
  const secrets = () =>
    `    seedfiles: [${seedFiles}]\n    additionalfile: app.additional\n    peers: ${peerCount}`;
  /** Writes the hub's file, which it loads within seconds. */
  const writeHub = () =>
    on(
      hub,
      `cat >/etc/wgdriver/hub.new <<'END'
networks:
  app:
    subnet: ${subnet}
    ipv6: ${tunnelIpv6.prefix}
${secrets()}
${hasPsk ? `  psk:\n    subnet: ${pskSubnet}\n    presharedkey: derived\n${secrets()}` : ''}
masquerade: true
${more}
END
       mv /etc/wgdriver/hub.new /etc/wgdriver/hub.yaml`,
    );
  const reload = 'until_active wgdriver-hub; systemctl reload wgdriver-hub';
  const countPsks = "wg show wg0 preshared-keys | grep -cv '(none)$'";
  const ipv6Of = (last: number) =>
    `${tunnelIpv6.prefix.replace('/64', '')}c0a8:5${last.toString(16).padStart(2, '0')}`;
  const containers = [
    [atOne, 'c10', 10],
    [atOne, 'c11', 11],
    [atTwo, 'c20', 20],
    [atTwo, 'c21', 21],
  ] as const;
  const pskContainers = [
    [atOne, 'p10', 10],
    [atTwo, 'p20', 20],
  ] as const;
  const startOn = (network: string, name: string, address: string) =>
    `docker run -d --name ${name} --network ${network} --ip ${address} --stop-signal KILL ${testImage} sleep 100000
     ping_from ${name} ${address.replace(/\d+$/, '1')}`;
  const toHub: readonly Path[] = [
    [atOne, 'c10', hubAddress],
    [atTwo, 'c20', hubAddress],
    [atHub, undefined, '192.168.5.10'],
  ];
  const everywhere: readonly Path[] = [
    ...toHub,
    [atOne, 'c11', '192.168.5.20'],
    [atOne, 'c11', tunnelIpv6.hub],
    [atTwo, 'c21', ipv6Of(10)],
    [atOne, 'p10', '192.168.7.20'],
  ];

  await part('made by 0.1.0’s files, it is adopted without a session dropped', async () => {
    await on(
      hub,
      `umask 077
       wg genkey >/etc/wgdriver/wg0.key
       cd /etc/wgdriver
       wgdriver-old endpoint-config --seed-file app.seed --additional $(cat app.additional) --peers ${peerCount} \\
         --private-key-file wg0.key ${subnet} --output /etc/wireguard/wg0.conf
       systemctl enable --now wg-quick@wg0`,
    );
    const key = await on(hub, 'wg show wg0 public-key');
    await onHosts(
      `start_driver auto; start_engine; import_image
       docker network create -d wireguard-plugin --subnet ${subnet} -o io.bestov.wg.ipv6=${tunnelIpv6.prefix} \\
         -o io.bestov.wg.peer=10.77.0.1:51820 -o io.bestov.wg.peerkey=${key} -o io.bestov.wg.keepalive=25 \\
         -o io.bestov.wg.seedfile=app.seed -o io.bestov.wg.additionalfile=app.additional wgnet`,
    );
    for (const [guest, name, last] of containers) {
      await on(guest(), `start_container ${name} --ip 192.168.5.${last}; ping_from ${name} ${hubAddress}`);
    }
    await writeHub();
    const before = await received(hub, 'wg0');
    const lost = await lostWhile(toHub, async () => {
      assert.match(
        await on(hub, 'wgdriver hub adopt wg0'),
        /wg-quick@wg0\.service made it: run `systemctl disable/,
      );
      await on(hub, 'systemctl disable wg-quick@wg0; wgdriver hub install; until_active wgdriver-hub');
    });
    t.diagnostic(`adopted: seconds lost ${lost}`);
    assert.deepEqual(lost, [0, 0, 0]);
    expectNoneAnew(before, await received(hub, 'wg0'));
  });

  await part('Docker drops what the hub forwards until hub.yaml says firewall: docker-user', async () => {
    const checked = await hub.exec('wgdriver hub check');
    assert.equal(checked.status, 1, checked.output);
    assert.match(checked.output, /Docker has set the policy of iptables’s chain FORWARD to drop/);
    assert.notEqual((await one.exec('docker exec c11 ping -c 2 -W 1 192.168.5.20')).status, 0);
    more = 'firewall: docker-user';
    await writeHub();
    await on(hub, `${reload}; until_says 'no firewall' wgdriver hub check`);
    await on(one, 'ping_from c11 192.168.5.20');
  });

  await part('containers of both hosts reach the hub and each other, by IPv4 and IPv6', async () => {
    for (const [guest, name] of containers) {
      const others = containers.filter(([, other]) => other !== name);
      const addresses = others.flatMap(([, , last]) => [`192.168.5.${last}`, ipv6Of(last)]);
      await on(
        guest(),
        [hubAddress, tunnelIpv6.hub, ...addresses]
          .map((address) => `ping_from ${name} ${address}`)
          .join('\n'),
      );
    }
  });

  await part('beyond it: masqueraded, by both families', async () => {
    await on(
      hub,
      `ip netns add beyond
       ip link add beyond type veth peer name eth0 netns beyond
       ip address add 203.0.113.1/24 dev beyond; ip address add 2001:db8::1/64 dev beyond nodad
       ip link set beyond up; ip -n beyond link set lo up; ip -n beyond link set eth0 up
       ip -n beyond address add 203.0.113.2/24 dev eth0; ip -n beyond address add 2001:db8::2/64 dev eth0 nodad
       ip route add default via 203.0.113.2; ip -6 route add default via 2001:db8::2
       ${reload}
       until_says 1 cat /proc/sys/net/ipv4/conf/beyond/forwarding`,
    );
    await on(one, 'ping_from c10 203.0.113.2; ping_from c10 2001:db8::2');
  });

  await part('a second network, with preshared keys', async () => {
    hasPsk = true;
    await writeHub();
    await on(hub, `${reload}; until [ $(wg show wg0 peers | wc -l) = ${2 * peerCount} ]; do sleep 0.1; done`);
    await onHosts(
      `docker network create -d wireguard-plugin --subnet ${pskSubnet} -o io.bestov.wg.peer=10.77.0.1:51820 \\
         -o io.bestov.wg.peerkey=${await on(hub, 'wg show wg0 public-key')} -o io.bestov.wg.seedfile=app.seed \\
         -o io.bestov.wg.additionalfile=app.additional -o io.bestov.wg.presharedkey=derived \\
         -o io.bestov.wg.keepalive=25 psk`,
    );
    for (const [guest, name, last] of pskContainers) {
      await on(guest(), startOn('psk', name, `192.168.7.${last}`));
    }
    assert.equal(await on(hub, countPsks), `${peerCount}`);
  });

  await part('killed, stopped, started, upgraded, given nonsense: tunnels stay up', async () => {
    const before = await received(hub, 'wg0');
    const lost = await lostWhile(everywhere, () =>
      on(
        hub,
        `pid=$(systemctl show -P MainPID wgdriver-hub)
         systemctl kill --kill-whom=main -s KILL wgdriver-hub
         until [ "$(systemctl show -P MainPID wgdriver-hub)" != $pid ] && systemctl -q is-active wgdriver-hub; do sleep 0.1; done
         systemctl stop wgdriver-hub; sleep 2; systemctl start wgdriver-hub
         wgdriver hub install; until_active wgdriver-hub
         cp /etc/wgdriver/hub.yaml /root/good.yaml
         echo 'nonsense: 1' >>/etc/wgdriver/hub.yaml
         ${reload}
         until_says 'the file was not loaded, and the hub goes on as it was' journalctl -u wgdriver-hub -n 20
         cp /root/good.yaml /etc/wgdriver/hub.yaml; ${reload}`,
      ),
    );
    t.diagnostic(`killed, stopped, started, upgraded, given nonsense: seconds lost ${lost}`);
    assert.deepEqual(
      lost,
      everywhere.map(() => 0),
    );
    expectNoneAnew(before, await received(hub, 'wg0'));
  });

  /** Killed as soon as the first container has its new key. */
  const reloadKilled = `
    sandbox=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' $(docker ps -q | tail -n 1))
    key() { nsenter --net=$sandbox wg show wg0 public-key; }
    before=$(key)
    wgdriver reload & reloading=$!
    until [ "$(key)" != "$before" ]; do :; done
    kill -KILL $(cat /run/wgdriver.pid)
    wait $reloading || true
    start_driver auto`;
  const killHub = 'systemctl kill --kill-whom=main -s KILL wgdriver-hub';
  const rounds = [
    ['additional', 'nobody'],
    ['additional', 'the drivers'],
    ['additional', 'the hub as it loads'],
    ['seed', 'nobody'],
    ['seed', 'the drivers'],
    ['seed', 'the hub as the hosts reload'],
  ] as const;
  for (const [number, [secret, victim]] of rounds.entries()) {
    await part(`rotation of the ${secret}, ${victim} killed`, async () => {
      const fresh = newSecret();
      const old = await received(hub, 'wg0');
      const lost = await lostWhile(everywhere, async () => {
        if (secret === 'seed') {
          seedFiles = [`${number}.seed`, ...seedFiles];
          await on(hub, `(umask 077; echo ${fresh} >/etc/wgdriver/${number}.seed)`);
          await writeHub();
        } else {
          await on(
            hub,
            `cd /etc/wgdriver; { echo ${fresh}; head -n 1 app.additional; } >new.additional; mv new.additional app.additional`,
          );
        }
        await on(
          hub,
          `${reload}
           ${victim === 'the hub as it loads' ? `sleep 0.1; ${killHub}; sleep 1; until_active wgdriver-hub` : ''}
           until [ $(wg show wg0 peers | wc -l) = ${4 * peerCount} ]; do sleep 0.1; done
           [ "$(wgdriver hub status | grep -c 'the hub knows all new keys')" = 2 ]
           [ "$(${countPsks})" = ${2 * peerCount} ]
           ${victim === 'the hub as the hosts reload' ? killHub : ''}`,
        );
        await onHosts(
          `echo ${fresh} >/etc/wgdriver/${secret === 'seed' ? 'app.seed' : 'app.additional'}
           ${victim === 'the drivers' ? reloadKilled : 'wgdriver reload'}`,
        );
        await on(
          hub,
          `until_says 'rotation: 4 addresses have moved to the new key, 0 active ones' wgdriver hub status
           until_says 'rotation: 2 addresses have moved to the new key, 0 active ones' wgdriver hub status`,
        );
        // The old one's end.
        if (secret === 'seed') {
          seedFiles = seedFiles.slice(0, 1);
          await writeHub();
        } else {
          await on(hub, 'sed -i 2d /etc/wgdriver/app.additional');
        }
        await on(
          hub,
          `${reload}; until [ $(wg show wg0 peers | wc -l) = ${2 * peerCount} ]; do sleep 0.1; done`,
        );
      });
      t.diagnostic(`rotation of the ${secret}, ${victim} killed: seconds lost ${lost}`);
      const most = victim.startsWith('the hub') ? mostLostWithoutHub : mostLostSeconds;
      assert(Math.max(...lost) <= most, `seconds lost: ${lost}`);
      const now = await received(hub, 'wg0');
      assert([...old.keys()].every((key) => !now.has(key)));
    });
  }

  await part('after its reboot containers that only send keepalives are reached within 15 s', async () => {
    await on(hub, 'systemctl stop wgdriver-hub');
    await hub.powerOff();
    hub = await lab.boot(hubOptions);
    const [served = Number.NaN, reached = Number.NaN] = (
      await on(
        hub,
        `until_active wgdriver-hub
         until [ $(wg show wg0 latest-handshakes | grep -cv '\\<0$') = ${containers.length + pskContainers.length} ]; do sleep 0.1; done
         read now rest </proc/uptime
         echo $(systemctl show -P ActiveEnterTimestampMonotonic wgdriver-hub) $now`,
      )
    )
      .split(' ')
      .map(Number);
    t.diagnostic(
      `handshakes with all containers ${(reached - served / 1e6).toFixed(1)} s after the hub served`,
    );
    assert(reached - served / 1e6 < 15);
    await on(
      hub,
      [
        ...containers.map(([, , last]) => `ping -c 1 -W 5 192.168.5.${last}`),
        ...pskContainers.map(([, , last]) => `ping -c 1 -W 5 192.168.7.${last}`),
      ].join('\n'),
    );
    // Docker made its rules anew.
    await on(one, `ping_from c11 192.168.5.20; ping_from c11 ${ipv6Of(21)}`);
  });

  await part('a laptop with client-config’s file reaches the hub and containers', async () => {
    more += '\nclients:\n  laptop: { address: 192.168.5.200 }';
    await writeHub();
    await on(
      hub,
      `${reload}; until_says 'client laptop' wgdriver hub status
       ip netns add laptop
       ip link add laptop type veth peer name eth0 netns laptop
       ip address add 203.0.113.1/24 dev laptop; ip link set laptop up
       ip -n laptop link set lo up
       ip -n laptop address add 203.0.113.2/24 dev eth0; ip -n laptop link set eth0 up
       cd /etc/wgdriver
       wgdriver client-config --seed-file ${seedFiles} --additional $(cat app.additional) --allowed-ips ${subnet} \\
         --hub-key $(wg show wg0 public-key) --endpoint 203.0.113.1:51820 --output /root/laptop.conf 192.168.5.200
       ip netns exec laptop wg-quick up /root/laptop.conf
       for address in ${hubAddress} 192.168.5.10 192.168.5.20; do
         ip netns exec laptop ping -c 1 -W 10 $address
       done`,
    );
    await on(one, 'ping_from c10 192.168.5.200');
  });

  await part(
    'systemd-networkd: its files make the link; a peer more, and the adoption, drop no session',
    async () => {
      const keys = `--seed-file /etc/wgdriver/${seedFiles} --additional $(head -n 1 /etc/wgdriver/app.additional) --listen-port 51821`;
      const writeFiles = (peers: number) => `
      cd /etc/systemd/network
      wgdriver endpoint-config ${keys} --interface wg1 --peers ${peers} --format networkd --output wg1 192.168.6.0/24
      chgrp systemd-network wg1.netdev`;
      await on(
        hub,
        `(umask 027; wg genkey >/etc/systemd/network/wg1.key; chgrp systemd-network /etc/systemd/network/wg1.key)
       ${writeFiles(1)}
       systemctl start systemd-networkd
       until_says 192.168.6.1/24 ip address show wg1
       until_says 1 cat /proc/sys/net/ipv4/conf/wg1/forwarding`,
      );
      const key = await on(hub, 'wg show wg1 public-key');
      await onHosts(
        `docker network create -d wireguard-plugin --subnet 192.168.6.0/24 -o io.bestov.wg.peer=10.77.0.1:51821 \\
         -o io.bestov.wg.peerkey=${key} -o io.bestov.wg.seedfile=app.seed \\
         -o io.bestov.wg.additionalfile=app.additional networkd`,
      );
      await on(one, startOn('networkd', 'n2', '192.168.6.2'));
      const before = await received(hub, 'wg1');
      const paths: readonly Path[] = [[atOne, 'n2', '192.168.6.1']];
      const lost = await lostWhile(paths, async () => {
        await on(
          hub,
          `${writeFiles(2)}
         wgdriver endpoint-config ${keys} --peers 2 --format setconf --output /root/wg1.peers 192.168.6.0/24
         wg addconf wg1 /root/wg1.peers`,
        );
        await on(two, startOn('networkd', 'n3', '192.168.6.3'));
        await on(
          hub,
          `cat >/etc/wgdriver/networkd.yaml <<END
interface: wg1
port: 51821
privatekeyfile: /etc/systemd/network/wg1.key
networks:
  networkd: { subnet: 192.168.6.0/24, seedfile: ${seedFiles}, additionalfile: app.additional, peers: 2 }
firewall: docker-user
END`,
        );
        const adopted = await on(hub, 'wgdriver hub adopt --config /etc/wgdriver/networkd.yaml wg1');
        assert.match(
          adopted,
          /at each restart, from \/etc\/systemd\/network\/wg1\.netdev: move that file away/,
        );
        assert.match(
          adopted,
          /addresses from \/etc\/systemd\/network\/wg1\.network: once the hub runs, move/,
        );
        await on(
          hub,
          `systemd-run --unit hub1 wgdriver hub serve --config /etc/wgdriver/networkd.yaml
         until_says ' serving ' journalctl -u hub1`,
        );
      });
      t.diagnostic(`systemd-networkd, a peer more and the adoption: seconds lost ${lost}`);
      assert.deepEqual(lost, [0]);
      expectNoneAnew(before, await received(hub, 'wg1'));
      // Without the wait the hub would not know yet where the containers are.
      const lostSessions = await lostWhile(paths, () =>
        on(
          hub,
          `until [ -s /var/lib/wgdriver-hub/wg1/endpoints ]; do sleep 0.1; done
           systemctl restart systemd-networkd
           until_says 'opened handshakes with the peers of the last run' journalctl -u hub1`,
        ),
      );
      t.diagnostic(`systemd-networkd with its .netdev: seconds lost ${lostSessions}`);
      // By themselves containers begin anew after 15 s.
      assert(Math.max(...lostSessions) < 12, `${lostSessions}`);
      const mended = await received(hub, 'wg1');
      const lostFile = await lostWhile(paths, () =>
        on(hub, 'mv /etc/systemd/network/wg1.netdev /root; systemctl restart systemd-networkd; sleep 2'),
      );
      t.diagnostic(`systemd-networkd without its .netdev: seconds lost ${lostFile}`);
      assert.deepEqual(lostFile, [0]);
      const lostAddress = await lostWhile(paths, () =>
        on(
          hub,
          `mv /etc/systemd/network/wg1.network /root
         systemctl restart systemd-networkd; systemctl kill -s HUP hub1
         sleep 2; until_says 192.168.6.1/24 ip address show wg1`,
        ),
      );
      t.diagnostic(`systemd-networkd without its .network: seconds lost ${lostAddress}`);
      assert(Math.max(...lostAddress) < 10, `${lostAddress}`);
      expectNoneAnew(mended, await received(hub, 'wg1'));
      await on(one, 'ping_from n2 192.168.6.3');
    },
  );

  await Promise.all([hub, one, two].map((guest) => guest.powerOff({ hard: true })));
});
