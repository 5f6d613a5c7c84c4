/**
 * The managed plugin with the kernel's WireGuard; test/runtimes/plugin.test.ts has more, on the machine's own engine.
 * Its creation takes an engine in a guest long, so an upgrade by the user's commands is for the full run.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { tunnelIpv6 } from '../../build/host/hub.ts';
import { untilNothingLeft } from '../../build/host/machine.ts';
import { managedPlugin, pluginFolder } from '../../build/host/plugin.ts';
import { openLab, SUITES } from '../../build/lab/index.ts';
import { diagnosis, hostFiles, hubAddress, sh, startHubBeside } from './guest-host.ts';
import { createdPlugin, exampleHubFiles, pluginFunctions, seedFile } from './managed-plugin.ts';

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const suites = isFull ? SUITES : (['trixie'] as const);

const lab = await openLab();
after(() => lab.close());
await lab.prepare(...suites);

for (const suite of suites) {
  describe(`the managed plugin, on ${suite}`, () => {
    test('links by netlink, tunnels that outlive the plugin, and nothing left', async () => {
      const plugin = await createdPlugin();
      const files = {
        ...hostFiles,
        ...plugin.files,
        ...(await exampleHubFiles()),
        ...(isFull ? { '/root/plugin': pluginFolder } : {}),
      };
      const guest = await lab.boot({ suite, cpus: 1, memoryMegabytes: 1024, files });
      await plugin.remove();
      const run = (script: string, timeoutSeconds?: number) =>
        sh(guest, pluginFunctions + script, timeoutSeconds);

      // The engine mounts that file into plugins in the host's network; mounts are shared as systemd has them.
      await run('touch /etc/resolv.conf; mount --make-rshared /; start_engine; import_image');
      const log = await run('enable_plugin; grep -o "backend .*" /var/log/dockerd.log | tail -n 1');
      assert.match(log, /^backend netlink/m);

      await run(
        `${startHubBeside}
         docker network create -d ${managedPlugin} --subnet 192.168.5.0/24 -o io.bestov.wg.peer=10.99.0.2:51820 \\
           -o io.bestov.wg.peerkey=$(ip netns exec hub wg show wg-hub public-key) -o io.bestov.wg.seedfile=app.seed \\
           -o io.bestov.wg.ipv6=${tunnelIpv6.prefix} wgnet
         ip -n hub address add ${tunnelIpv6.hub}/120 dev wg-hub
         start_container one --restart=always
         ping_from one ${hubAddress}; ping_from one ${tunnelIpv6.hub}`,
      );
      for (const check of ['plugin', 'handshakes', 'killswitch']) {
        const { status, cause } = await diagnosis(guest, check);
        assert.equal(status, 'pass', cause);
      }
      await run('follows_networks one');
      const sandbox = await run(`docker inspect -f '{{.NetworkSettings.SandboxKey}}' one`);
      assert.equal(await run(`stat -f -c %T /proc/$(plugin_process)/root${sandbox}`), 'nsfs');

      const pingsWhile = (what: string) =>
        run(
          `docker exec one ping -c 1000 -W 1 ${hubAddress} >/root/pings & pings=$!; ${what}
             ping_from one ${hubAddress}; kill -INT $(pgrep -f '^ping -c 1000'); wait $pings || true
             tail -n 2 /root/pings`,
          600,
        );
      const lost = async (what: string) =>
        Number(/, (\d+)% packet loss/.exec(await pingsWhile(what))?.[1] ?? Number.NaN);
      assert.equal(
        await lost(
          'started=$(grep -c " serving " /var/log/dockerd.log); kill -9 $(plugin_process); until [ $(grep -c " serving " /var/log/dockerd.log) -gt $started ]; do sleep 0.5; done',
        ),
        0,
      );
      await run(`ping_from one ${tunnelIpv6.hub}`);
      await run(`docker run --rm --network wgnet --name two wgdriver-test ping -c 1 -W 5 ${hubAddress}`);
      const replace = isFull
        ? `docker plugin rm -f ${managedPlugin}; touch /root/plugin/rootfs/next; docker plugin create ${managedPlugin} /root/plugin;`
        : '';
      assert.equal(await lost(`docker plugin disable -f ${managedPlugin}; ${replace} enable_plugin`), 0);
      await run(`docker run --rm --network wgnet --name three wgdriver-test ping -c 1 -W 5 ${hubAddress}`);

      await run(
        `docker rm -f one; docker network rm wgnet; ${untilNothingLeft('/var/lib/wgdriver-plugin')}
         docker plugin disable ${managedPlugin}; docker plugin rm ${managedPlugin}`,
      );
      assert.equal(await run('find /var/lib/wgdriver-plugin -type f'), '');
      await guest.powerOff({ hard: true });
    });
  });
}

// Modules are there on the suite's own kernel alone, where an engine takes minutes.
test('the managed plugin has the kernel load its module', {
  skip: !isFull && 'in the full run',
}, async () => {
  const plugin = await createdPlugin();
  const guest = await lab.boot({
    suite: 'trixie',
    kernel: 'debian',
    cpus: 1,
    memoryMegabytes: 1024,
    files: plugin.files,
  });
  await plugin.remove();
  await sh(guest, 'touch /etc/resolv.conf; mount --make-rshared /; start_engine');
  assert.equal(await sh(guest, 'lsmod | grep ^wireguard || true'), '');
  // On a busy machine an emulated plugin may take longer than the engine waits for it; its module is there even so.
  await sh(
    guest,
    `chmod 600 ${seedFile}; mkdir -p /var/lib/wgdriver-plugin
     for try in 1 2 3 4 5 6; do
       docker plugin enable ${managedPlugin} || true
       lsmod | grep ^wireguard && exit
     done
     exit 1`,
    900,
  );
  await guest.powerOff({ hard: true });
});
