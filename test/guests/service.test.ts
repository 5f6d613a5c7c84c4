/** The driver as a service of systemd's: started before the engine, over kills, upgrades and reboots. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { inFullRun } from '../../build/host/scenarios.ts';
import { type Guest, openLab, SUITES } from '../../build/lab/index.ts';
import { hostFiles, hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

const isFull = inFullRun === false;
const suites = isFull ? SUITES : (['trixie'] as const);

/** Script: the hub’s one customer with a provider’s file, a peer that it forgets at a reboot. */
const addCustomer = `
  ip netns exec hub wg set wg-hub peer $(wg pubkey </root/customer.key) allowed-ips 10.64.0.7/32
  ip -n hub route add 10.64.0.7/32 dev wg-hub
`;
const appPings = `docker exec app ping -c 1 -W 5 ${hubAddress}`;

const lab = await openLab({ isLong: true });
after(() => lab.close());

for (const suite of suites) {
  test(`wgdriver service, on ${suite}`, async (t) => {
    const disk = await lab.disk(suite);
    const options = { suite, disk, cpus: 1, init: 'systemd', engine: true } as const;
    const files = {
      ...hostFiles,
      ...(await hubFiles()),
      '/usr/local/bin/wireguard-go': '/usr/bin/wireguard-go',
    };
    let guest = await lab.boot({ ...options, files });

    await t.test('install: the driver serves, and its hardening is no hindrance', async () => {
      // A path that ExecStart= would take apart.
      const output = await sh(
        guest,
        `mkdir '/opt/100% $HOME'; mv /usr/local/bin/wgdriver /opt/100*/; ln -s /opt/100*/wgdriver /usr/local/bin/
         wgdriver service install; systemctl is-active wgdriver.socket wgdriver`,
      );
      assert.match(output, /wireguard-plugin serves .*wireguard-plugin\.sock.*\nactive\nactive$/s);
      await sh(
        guest,
        `${startHubBeside} import_image
         create_network wgnet 10.99.0.2:51820 $(ip netns exec hub wg show wg-hub public-key)
         start_container one --restart=always
         ping_from one ${hubAddress}`,
      );
      // As the hardened service sees them, namespaces are where it protects them.
      await sh(
        guest,
        `[ -n "$(nsenter --net=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' one) nft list table inet wgdriver)" ]`,
      );
      await sh(guest, 'follows_networks one');
      const exposure = await sh(guest, 'systemd-analyze security --no-pager wgdriver | tail -1');
      t.diagnostic(`${suite}: ${exposure}`);
      assert.ok(Number(/: (\d+\.\d) /.exec(exposure)?.[1]) < 5, exposure);
      assert.equal(
        await sh(guest, 'stat -c %a /run/docker/plugins/wireguard-plugin.sock /var/lib/wgdriver'),
        '600\n700',
      );
    });

    await t.test('killed, it comes back; stopped, the engine’s next call starts it', async () => {
      await sh(
        guest,
        `pid=$(systemctl show -P MainPID wgdriver)
         systemctl kill --kill-whom=main -s KILL wgdriver
         # A call that it had taken before it died is lost: the engine asks again without the body.
         until [ "$(systemctl show -P MainPID wgdriver)" != $pid ] && systemctl -q is-active wgdriver; do sleep 0.5; done
         start_container two; ping_from two ${hubAddress}`,
      );
      await sh(guest, 'systemctl stop wgdriver; docker rm -f two; systemctl is-active wgdriver');
      assert.doesNotMatch(await sh(guest, 'show_links'), /^wg/m);
    });

    await t.test('installed anew, as an upgrade does it, tunnels stay up', async () => {
      const inode = 'stat -c %i /run/docker/plugins/wireguard-plugin.sock';
      const before = await sh(guest, inode);
      await sh(guest, `wgdriver service install; docker exec one ping -c 1 -W 5 ${hubAddress}`);
      // The engine's calls wait in it meanwhile.
      assert.equal(await sh(guest, inode), before);
    });

    // test/commands/service.test.ts has what systemd is told.
    await t.test('installed under another name, the old socket is gone', { skip: inFullRun }, async () => {
      await sh(guest, 'wgdriver service install --name other');
      assert.equal(await sh(guest, 'ls /run/docker/plugins'), 'other.sock');
      await sh(guest, 'wgdriver service install');
      assert.equal(await sh(guest, 'ls /run/docker/plugins'), 'wireguard-plugin.sock');
    });

    await t.test('a userspace tunnel outlives the driver', async () => {
      await sh(
        guest,
        `echo 'WGDRIVER_OPTIONS="--backend userspace"' >/etc/default/wgdriver
         systemctl restart wgdriver
         start_container user; ping_from user ${hubAddress}
         before=$(pidof wireguard-go)
         systemctl restart wgdriver
         [ "$(pidof wireguard-go)" = "$before" ]
         docker exec user ping -c 1 -W 5 ${hubAddress}
         docker rm -f user
         rm /etc/default/wgdriver; systemctl restart wgdriver
         i=0; while pidof wireguard-go; do i=$((i + 1)); [ $i -lt 50 ]; sleep 0.1; done`,
      );
    });

    // For systemd it is what the userspace tunnel is: a process that the driver has started.
    await t.test(
      'a shared tunnel outlives the driver: stopped, killed, installed anew',
      {
        skip: inFullRun,
      },
      async () => {
        await sh(
          guest,
          `umask 077
         wg genkey >/root/customer.key
         ${addCustomer}
         mkdir -p /etc/wgdriver
         cat >/etc/wgdriver/provider.conf <<END
[Interface]
PrivateKey = $(cat /root/customer.key)
Address = 10.64.0.7/32
[Peer]
PublicKey = $(ip netns exec hub wg show wg-hub public-key)
AllowedIPs = 0.0.0.0/0
Endpoint = 10.99.0.2:51820
PersistentKeepalive = 25
END
         docker network create -d wireguard-plugin --subnet 10.77.0.0/24 -o io.bestov.wg.conffile=provider.conf vpn
         docker run -d --name app --restart=always --network vpn --stop-signal KILL wgdriver-test sleep 100000
         ping_from app ${hubAddress}
         systemctl restart wgdriver; ${appPings}
         systemctl kill --kill-whom=main -s KILL wgdriver; ${appPings}
         systemctl stop wgdriver wgdriver.socket; ${appPings}
         wgdriver service install; ${appPings}
         docker run -d --name helper --network vpn --stop-signal KILL wgdriver-test sleep 100000
         ping_from helper ${hubAddress}
         docker exec helper ping -c 1 -W 5 app
         docker rm -f helper`,
        );
      },
    );

    await t.test('after a reboot it is there before the engine, and containers come back', async () => {
      void guest.exec('systemctl poweroff').catch(() => undefined);
      await guest.gone;
      guest = await lab.boot(options);
      await sh(guest, `${startHubBeside} ping_from one ${hubAddress}`);
      assert.doesNotMatch(await sh(guest, 'show_links'), /^wg/m);
      assert.equal(await activeBefore(guest, 'wgdriver.service', 'docker.service'), true);
      // Its namespace has gone with the old kernel.
      if (isFull) await sh(guest, `${addCustomer} ping_from app ${hubAddress}`);
    });

    await t.test(
      'uninstall: nothing is left but state and tunnels, and foreign units are not touched',
      async () => {
        await sh(
          guest,
          `wgdriver service uninstall; docker exec one ping -c 1 -W 5 ${hubAddress}; ${isFull ? appPings : ''}`,
        );
        assert.equal(
          await sh(
            guest,
            'ls -d /etc/systemd/system/*wgdriver* /etc/systemd/system/*/*wgdriver* /run/docker/plugins/* 2>/dev/null || :',
          ),
          '',
        );
        assert.notEqual(await sh(guest, 'show_state'), '');
        assert.match(await sh(guest, 'wgdriver service uninstall'), /^There are no units made by/);
        assert.match(await sh(guest, 'wgdriver hub uninstall'), /^There is no unit made by/);

        await sh(guest, 'echo "[Service]" >/etc/systemd/system/wgdriver.service');
        const refused = await guest.exec(
          'wgdriver service install; echo $?; wgdriver service uninstall; echo $?',
        );
        assert.match(refused.output, /(wgdriver: .*wgdriver\.service was not written by wgdriver.*\n1\n){2}/);
        assert.equal(await sh(guest, 'cat /etc/systemd/system/wgdriver.service'), '[Service]');
      },
    );

    await t.test('a driver that was started by hand is not robbed of its socket', async () => {
      await sh(guest, 'rm /etc/systemd/system/wgdriver.service; start_driver');
      const { status, output } = await guest.exec('wgdriver service install');
      assert.equal(status, 1);
      assert.match(output, /wireguard-plugin\.sock: another process answers on it/);
    });

    await t.test('a shared tunnel goes with its network', { skip: inFullRun }, async () => {
      await sh(
        guest,
        `${appPings}; docker rm -f app; docker network rm vpn
         i=0; while pgrep -f 'sleep 2147483647'; do i=$((i + 1)); [ $i -lt 50 ]; sleep 0.1; done`,
      );
    });
    await guest.powerOff({ hard: true });
  });
}

async function activeBefore(guest: Guest, first: string, second: string): Promise<boolean> {
  const since = async (unit: string) =>
    Number(await sh(guest, `systemctl show --value --property=ActiveEnterTimestampMonotonic ${unit}`));
  return (await since(first)) < (await since(second));
}
