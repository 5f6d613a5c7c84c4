/** A host whose kernel was told to do without IPv6: the kill switch protects what there is, and the option ipv6 is no obstacle. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { tunnelIpv6 } from '../../build/host/hub.ts';
import { openLab } from '../../build/lab/index.ts';
import { diagnosis, hostFiles, hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;

/** One runtime that can speak netlink, and in the full run one that needs programs. */
const runtimes = isFull ? ['node26', 'node22'] : ['node26'];

/**
 * Debian's own kernel has IPv6 as a module of sorts; the quickest one obeys the same word in a quarter of the time. The
 * full run has each engine, and one of them on Debian's kernel.
 */
const columns = isFull
  ? ([{ suite: 'bookworm' }, { suite: 'trixie', kernel: 'debian' }, { suite: 'forky' }] as const)
  : ([{ suite: 'trixie' }] as const);

for (const column of columns) {
  test(`with ipv6.disable=1 on ${column.suite}: networks can be created, and containers keep to the tunnel`, (t) =>
    keepToTheTunnel(t, column));
}

async function keepToTheTunnel(t: TestContext, column: (typeof columns)[number]): Promise<void> {
  const lab = await openLab('kernel' in column ? { kernel: column.kernel } : {});
  t.after(() => lab.close());
  const guest = await lab.boot({
    ...column,
    cpus: 1,
    files: {
      ...hostFiles,
      ...Object.fromEntries(
        runtimes.map((name) => [`/opt/${name}`, resolve(`test/runtimes/node_modules/${name}/bin/node`)]),
      ),
      ...(await hubFiles()),
    },
    kernelArguments: ['ipv6.disable=1'],
  });
  await sh(
    guest,
    `test ! -e /proc/net/if_inet6; start_engine; import_image; docker network create abridge; ${startHubBeside}`,
  );
  for (const runtime of runtimes) {
    await t.test(`with the driver on ${runtime}`, async () => {
      await sh(
        guest,
        `ln -sf /opt/${runtime} /usr/local/bin/node
         start_driver auto
         create_network wgnet 10.99.0.2:51820 $(ip netns exec hub wg show wg-hub public-key) \\
           -o io.bestov.wg.ipv6=${tunnelIpv6.prefix}
         start_container one; ping_from one ${hubAddress}; follows_networks one`,
      );
      assert.equal((await diagnosis(guest, 'killswitch')).status, 'pass');
      // From the container, with a bridge that has the default route: by the tunnel, as soon as programs are through.
      await sh(
        guest,
        `start_container two; docker network connect abridge two
         netns=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' two)
         until nsenter --net=$netns ip route get 203.0.113.1 | grep 'dev wg0'; do sleep 0.5; done`,
        60,
      );
      // The protection outlives the tunnel by ten seconds.
      await sh(
        guest,
        `docker network disconnect wgnet two
         netns=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' two)
         while nsenter --net=$netns nft list tables | grep wgdriver; do sleep 0.5; done`,
        60,
      );
      await sh(
        guest,
        `docker rm -f one two; docker network rm wgnet
         kill $(cat /run/wgdriver.pid)
         while [ -e /proc/$(cat /run/wgdriver.pid) ]; do sleep 0.1; done`,
      );
      const left = await sh(guest, 'show_links; cat /var/log/wgdriver.log; rm /var/log/wgdriver.log');
      assert.doesNotMatch(left, /^wg| error /m);
      assert.equal(left.match(/this kernel has no IPv6, so containers get IPv4 alone/g)?.length, 1, left);
    });
  }
  await guest.powerOff({ hard: true });
}
