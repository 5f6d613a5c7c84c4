/** The single executable, on a host that has neither Node nor any program that the driver runs on older ones. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { executable, stateFolder } from '../../build/host/driver.ts';
import { untilNothingLeft } from '../../build/host/machine.ts';
import { openLab, SUITES } from '../../build/lab/index.ts';
import { hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

const suites = process.env.WGDRIVER_TEST_FULL === undefined ? (['trixie'] as const) : SUITES;

const missing = 'node ip wg nft nsenter unshare';

const lab = await openLab();
after(() => lab.close());

for (const suite of suites) {
  test(`the executable, alone on ${suite}`, async (t) => {
    const files = { ...(await hubFiles()), '/usr/local/bin/wgdriver': executable };
    const guest = await lab.boot({ suite, files });
    // The hub is another machine: here it is made before the tools go.
    await sh(
      guest,
      `start_engine; ${startHubBeside} import_image
       ip netns exec hub wg show wg-hub public-key >/root/hub.pub
       # For ping_from, and where the driver does not look.
       mkdir /root/bin && cp $(type -P nsenter) /root/bin
       rm -f $(type -ap ${missing}); hash -r
       ! command -v ${missing}`,
      600,
    );
    const links = await sh(guest, 'show_links');

    await t.test('a container comes up and reaches the hub, by netlink', async () => {
      await sh(guest, 'start_driver auto');
      assert.match(
        await sh(guest, 'cat /var/log/wgdriver.log'),
        /^\S+ info {2}listening [^\n]+\n\S+ info {2}backend netlink reason="the kernel makes WireGuard links"\n\S+ info {2}serving [^\n]+$/,
      );
      await sh(
        guest,
        `create_network wgnet 10.99.0.2:51820 $(cat /root/hub.pub)
         start_container one
         PATH=$PATH:/root/bin ping_from one ${hubAddress}`,
      );
    });

    await t.test('doctor is content, and says what it could not look at', async () => {
      const report = await sh(guest, 'wgdriver doctor --json');
      const { checks } = JSON.parse(report) as { checks: { name: string; status: string; cause: string }[] };
      t.diagnostic(checks.map(({ name, status, cause }) => `${status} ${name}: ${cause}`).join('\n'));
      const statuses = Object.fromEntries(checks.map(({ name, status }) => [name, status]));
      assert.equal(statuses.ip, 'warn');
      assert.equal(statuses['network-namespaces'], 'skip');
      for (const name of [
        'rights',
        'killswitch',
        'kernel-wireguard',
        'wireguard-module',
        'wg',
        'plugin',
        'engine',
        'handshakes',
      ]) {
        assert.equal(statuses[name], 'pass', name);
      }
      assert.match(checks.find(({ name }) => name === 'handshakes')?.cause ?? '', /^last: one \d+ s ago$/);
    });

    await t.test('everything is removed, and no link is left', async () => {
      await sh(guest, `docker rm -f one; docker network rm wgnet; ${untilNothingLeft(stateFolder)}`);
      await sh(
        guest,
        'kill $(cat /run/wgdriver.pid); while [ -e /proc/$(cat /run/wgdriver.pid) ]; do sleep 0.1; done',
      );
      assert.equal(await sh(guest, 'show_links'), links);
      assert.equal(await sh(guest, 'show_state; ls /run/docker/plugins'), '');
      assert.doesNotMatch(await sh(guest, 'cat /var/log/wgdriver.log'), /Warning:| error /);
    });

    await t.test('without one of its libraries, the loader says which', async () => {
      await sh(guest, 'mv /usr/lib/*/libatomic.so.1 /root');
      const { status, output } = await guest.exec('wgdriver --version');
      assert.equal(status, 127);
      assert.match(output, /error while loading shared libraries: libatomic\.so\.1: cannot open/);
    });
    await guest.powerOff({ hard: true });
  });
}
