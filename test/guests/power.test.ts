/** A host that loses its power, and one that is switched off: the disk is kept, and all links are gone. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { stateFolder } from '../../build/host/driver.ts';
import { untilNothingLeft } from '../../build/host/machine.ts';
import { type Guest, openLab, SUITES } from '../../build/lab/index.ts';
import { hostFiles, hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

const suites = process.env.WGDRIVER_TEST_FULL === undefined ? (['trixie'] as const) : SUITES;

const lab = await openLab();
after(() => lab.close());
await lab.prepare(...suites);

/** As systemd would: the driver before the engine, which starts its containers at once. */
const startHost = `${startHubBeside} start_driver; start_engine`;

for (const suite of suites) {
  describe(`power, on ${suite}`, () => {
    test('after a power cut and after a power-off networks are known and containers come back', async () => {
      const disk = await lab.disk(suite);
      const files = { ...hostFiles, ...(await hubFiles()) };
      let guest = await lab.boot({ suite, disk, files });
      const boot = async () => {
        guest = await lab.boot({ suite, disk });
        await sh(guest, startHost);
      };

      await sh(guest, `${startHost}; import_image; sync`);
      await sh(
        guest,
        `key=$(ip netns exec hub wg show wg-hub public-key)
         create_network wgnet 10.99.0.2:51820 $key
         start_container one --restart=always
         ping_from one ${hubAddress}
         # The engine does not sync what it keeps of a container; the driver has to by itself.
         sync
         docker network create -d wireguard-plugin --subnet 192.168.6.0/24 -o io.bestov.wg.peer=10.99.0.2:51820 \\
           -o io.bestov.wg.peerkey=$key -o io.bestov.wg.seed=dGVzdHNlZWQK late`,
      );
      await guest.powerOff({ hard: true });

      await boot();
      await sh(guest, `ping_from one ${hubAddress}`);
      await expectSound(guest);
      await sh(
        guest,
        `docker run --rm --network late wgdriver-test ip -4 address show wg0 | grep -F 192.168.6.2/24`,
      );
      await sh(guest, 'docker network rm late');
      await sh(guest, `docker rm -f one; start_container one --restart=always; ping_from one ${hubAddress}`);
      await sh(guest, 'engine stop; kill $(cat /run/wgdriver.pid)');
      await guest.powerOff();

      await boot();
      await sh(guest, `ping_from one ${hubAddress}`);
      await expectSound(guest);
      await sh(
        guest,
        `start_container two; ping_from two ${hubAddress}; docker rm -f one two; docker network rm wgnet
         ${untilNothingLeft(stateFolder)}`,
      );
      await guest.powerOff({ hard: true });
    });
  });
}

/** The state is whole, and no link of the time before is on the host. */
async function expectSound(guest: Guest): Promise<void> {
  assert.doesNotMatch(await sh(guest, 'show_links'), /^wg/m);
  assert.doesNotMatch(await sh(guest, 'cat /var/log/wgdriver.log'), /set aside/);
}
