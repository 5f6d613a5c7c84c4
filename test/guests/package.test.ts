/** The Debian package in a guest: what dpkg does with it while a container pings. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { after, test } from 'node:test';
import { sh as onHost } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { openLab } from '../../build/lab/index.ts';
import { hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const suites = isFull ? (['trixie'] as const) : [];

const lab = isFull ? await openLab() : undefined;
after(() => lab?.close());

test('the Debian package in guests', { skip: isFull ? false : 'in the full run' }, () => {});

/** Builds the package in a folder of its own: other tests make and read dist/release meanwhile. */
async function builtPackage(folder: string): Promise<string> {
  await onHost(
    `cp -al node_modules "$1"
     mkdir -p "$1/test/runtimes"
     cp -al test/runtimes/node_modules test/runtimes/package-lock.json "$1/test/runtimes"
     cp -a build src package.json package-lock.json tsconfig.json README.md LICENSE CHANGELOG.md "$1"
     SOURCE_DATE_EPOCH=1790000000 node "$1/build/run.mjs" release bundle >/dev/null`,
    folder,
  );
  return onHost('echo "$1"/dist/release/wgdriver_*_all.deb', folder);
}

for (const suite of suites) {
  test(`the package on ${suite}, while a container pings`, async (t) => {
    assert(lab);
    const folder = await mkdtemp('dist/packaged-');
    after(() => rm(folder, { recursive: true }));
    const guest = await lab.boot({
      suite,
      cpus: 1,
      init: 'systemd',
      engine: true,
      files: {
        ...(await hubFiles()),
        // In the place of Debian's package, which the disk has not.
        '/usr/bin/node': process.execPath,
        '/usr/local/bin/wgdriver': wgdriver,
        '/root/wgdriver.deb': await builtPackage(folder),
      },
    });
    const install = (file: string) => `dpkg --force-depends --install ${file}`;

    await t.test('installed over `wgdriver service install`: it takes the place of those units', async () => {
      await sh(
        guest,
        `${startHubBeside} import_image
         wgdriver service install
         create_network wgnet 10.99.0.2:51820 $(ip netns exec hub wg show wg-hub public-key)
         start_container one; ping_from one ${hubAddress}
         setsid nsenter --target $(docker inspect -f '{{.State.Pid}}' one) --net \\
           ping -i 0.5 ${hubAddress} </dev/null >/root/pings 2>&1 &
         echo $! >/root/ping.pid
         systemctl show -P MainPID docker >/root/docker.pid
         rm /usr/local/bin/wgdriver; hash -r`,
      );
      await sh(guest, install('/root/wgdriver.deb'));
      assert.match(await sh(guest, 'systemctl show -P ExecStart wgdriver'), /\/usr\/bin\/wgdriver serve /);
      assert.equal(
        await sh(
          guest,
          `systemctl is-active wgdriver.socket wgdriver; systemctl is-enabled wgdriver.socket wgdriver
           ls /etc/systemd/system/wgdriver* 2>/dev/null || :
           stat -c %a /etc/wgdriver`,
        ),
        'active\nactive\nenabled\nenabled\n700',
      );
      await sh(guest, `start_container two; ping_from two ${hubAddress}`);
    });

    await t.test('upgraded while a container starts', async () => {
      await sh(
        guest,
        `dpkg-deb --raw-extract /root/wgdriver.deb /root/next
         sed -i 's/^Version: .*/Version: 99.0/' /root/next/DEBIAN/control
         dpkg-deb --build /root/next /root/next.deb >/dev/null
         start_container three & starting=$!
         ${install('/root/next.deb')}
         wait $starting
         ping_from three ${hubAddress}
         systemctl is-active wgdriver`,
      );
    });

    await t.test('removed: tunnels and state stay', async () => {
      await sh(guest, `dpkg --remove wgdriver; ping_from one ${hubAddress}; ping_from three ${hubAddress}`);
      assert.equal(
        await sh(
          guest,
          `ls -d /usr/lib/systemd/system/wgdriver* /usr/bin/wgdriver /run/docker/plugins/wireguard-plugin.sock 2>/dev/null || :
           systemctl is-active wgdriver.socket wgdriver || :`,
        ),
        'inactive\ninactive',
      );
      assert.match(await sh(guest, 'ls /var/lib/wgdriver/networks'), /\.json$/);
    });

    await t.test('through all of it Docker was not restarted, and the container lost no ping', async () => {
      const pings = await sh(
        guest,
        `[ "$(systemctl show -P MainPID docker)" = "$(cat /root/docker.pid)" ]
         kill -INT $(cat /root/ping.pid)
         until grep ' received' /root/pings; do sleep 0.1; done`,
      );
      const { sent, received } =
        /(?<sent>\d+) packets transmitted, (?<received>\d+) received/.exec(pings)?.groups ??
        assert.fail(pings);
      t.diagnostic(pings);
      // The last one may have been under way.
      assert(Number(sent) > 10 && Number(received) >= Number(sent) - 1, pings);
    });
    await guest.powerOff({ hard: true });
  });
}
