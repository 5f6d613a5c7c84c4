/** A host whose kernel was told to do without IPv6: the kill switch protects what there is. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openLab } from '../lab/index.ts';
import { diagnosis, hostFiles, hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

const lab = await openLab();
after(() => lab.close());

test('with ipv6.disable=1: networks can be created, and containers keep to the tunnel', async () => {
  const guest = await lab.boot({
    suite: 'trixie',
    cpus: 1,
    files: { ...hostFiles, ...(await hubFiles()) },
    kernelArguments: ['ipv6.disable=1'],
  });
  await sh(guest, 'start_driver auto; start_engine; import_image');
  await sh(
    guest,
    `${startHubBeside}
     create_network wgnet 10.99.0.2:51820 $(ip netns exec hub wg show wg-hub public-key)
     start_container one; ping_from one ${hubAddress}; follows_networks one`,
  );
  assert.equal((await diagnosis(guest, 'killswitch')).status, 'pass');
  // From the container, with a bridge that has the default route: by the tunnel, or not at all.
  await sh(guest, `docker network create abridge; start_container two; docker network connect abridge two`);
  assert.match(
    await sh(
      guest,
      `nsenter --net=$(docker inspect -f '{{.NetworkSettings.SandboxKey}}' two) ip route get 203.0.113.1`,
    ),
    /dev wg0/,
  );
  await sh(guest, 'docker rm -f one two; docker network rm wgnet abridge');
  assert.doesNotMatch(await sh(guest, 'show_links; cat /var/log/wgdriver.log'), /^wg| error /m);
  await guest.powerOff({ hard: true });
});
