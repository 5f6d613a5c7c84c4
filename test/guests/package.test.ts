/** The Debian package in a guest: what dpkg does with it while a container pings. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { after, test } from 'node:test';
import { bundleOfFirstRelease } from '../../build/first-release.ts';
import { sh as onHost } from '../../build/host/commands.ts';
import { type Guest, openLab, type Suite } from '../../build/lab/index.ts';
import { hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

/** Script: a container that shares a tunnel, whose key is the provider's, with whoever joins it. */
const startSharer = `
  ip netns exec hub wg set wg-hub peer $(wg pubkey </etc/wgdriver/provider.key) allowed-ips 10.64.0.7/32
  ip -n hub route add 10.64.0.7/32 dev wg-hub
  cat >/etc/wgdriver/provider.conf <<END
[Interface]
PrivateKey = $(cat /etc/wgdriver/provider.key)
Address = 10.64.0.7/32
[Peer]
PublicKey = $(ip netns exec hub wg show wg-hub public-key)
AllowedIPs = 0.0.0.0/0
Endpoint = 10.99.0.2:51820
END
  chmod 600 /etc/wgdriver/provider.conf
  docker network create -d wireguard-plugin --subnet 10.77.0.0/24 -o io.bestov.wg.conffile=provider.conf vpn
  docker run -d --name app --network vpn --stop-signal KILL wgdriver-test sleep 100000
  ping_from app ${hubAddress}
`;

/** Script: the number of processes that hold shared tunnels. */
// Processes end while they are looked at, which grep(1) calls an error.
const keepers = `{ grep -lszE '^WGDRIVER_PURPOSE=shared tunnel' /proc/[0-9]*/environ || :; } | wc -l`;

/** Bookworm's Node.js is too old for the bundle. */
const cases: readonly (readonly [name: 'wgdriver' | 'wgdriver-bin', suite: Suite])[] = [
  ['wgdriver', 'trixie'],
  ['wgdriver', 'forky'],
  ['wgdriver-bin', 'bookworm'],
  ['wgdriver-bin', 'trixie'],
  ['wgdriver-bin', 'forky'],
];

/** Script function: `pings_from NAME` has a container ping the hub until `lossless` asks how that went. */
const pingsFrom = `
  pings_from() {
    setsid nsenter --target $(docker inspect -f '{{.State.Pid}}' $1) --net \\
      ping -i 0.2 ${hubAddress} </dev/null >/root/$1.pings 2>&1 &
    echo $! >/root/$1.ping
  }
`;

/** @returns what ping(8) says at its end */
async function lossless(guest: Guest, container: string): Promise<string> {
  const pings = await sh(
    guest,
    `kill -INT $(cat /root/${container}.ping)
     until grep ' received' /root/${container}.pings; do sleep 0.1; done`,
  );
  const { sent, received } =
    /(?<sent>\d+) packets transmitted, (?<received>\d+) received/.exec(pings)?.groups ?? assert.fail(pings);
  // The last one may have been under way.
  assert(Number(sent) > 10 && Number(received) >= Number(sent) - 1, pings);
  return `${container}: ${pings}`;
}

const firstRelease = bundleOfFirstRelease();
const lab = firstRelease === undefined ? undefined : await openLab({ isLong: true });
after(() => lab?.close());

/** Built in a folder of its own: other tests make and read dist/release meanwhile. */
const folder = lab && (await builtPackages());

async function builtPackages(): Promise<string> {
  const made = await mkdtemp('dist/packaged-');
  after(() => rm(made, { recursive: true }));
  await onHost(
    `cp -al node_modules "$1"
     mkdir -p "$1/test/runtimes"
     cp -al test/runtimes/node_modules test/runtimes/package-lock.json test/runtimes/package.json "$1/test/runtimes"
     cp -a build src package.json package-lock.json tsconfig.json README.md LICENSE CHANGELOG.md "$1"
     SOURCE_DATE_EPOCH=1790000000 node "$1/build/run.mjs" release bundle amd64 >/dev/null`,
    made,
  );
  return made;
}

test('the Debian packages in guests', {
  skip: lab ? false : 'it takes a clone that has 0.1.0',
}, () => {});

for (const [name, suite] of lab ? cases : []) {
  test(`${name} on ${suite}, while a container pings`, async (t) => {
    assert(lab && firstRelease && folder);
    const isBundle = name === 'wgdriver';
    const guest = await lab.boot({
      suite,
      cpus: 1,
      init: 'systemd',
      engine: true,
      files: {
        ...(await hubFiles()),
        // In the place of Debian's package, which the disk has not.
        '/usr/bin/node': process.execPath,
        '/usr/local/bin/wgdriver': firstRelease,
        '/root/wgdriver.deb': await onHost(`echo "$1"/dist/release/${name}_*_[!r]*.deb`, folder),
      },
    });
    const install = (file: string) => `dpkg ${isBundle ? '--force-depends' : ''} --install ${file}`;

    await t.test('installed over 0.1.0, it takes the place of `wgdriver service install`', async () => {
      await sh(
        guest,
        `${startHubBeside} import_image ${pingsFrom}
         wgdriver service install
         create_network wgnet 10.99.0.2:51820 $(ip netns exec hub wg show wg-hub public-key)
         start_container one; ping_from one ${hubAddress}
         pings_from one
         systemctl show -P MainPID docker >/root/docker.pid`,
      );
      await sh(guest, install('/root/wgdriver.deb'));
      await sh(guest, `rm /usr/local/bin/wgdriver${isBundle ? '' : ' /usr/bin/node'}`);
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

    await t.test('upgraded while a container starts and another one has a share of a tunnel', async () => {
      await sh(
        guest,
        `(umask 077; wg genkey >/etc/wgdriver/provider.key)
         ${startSharer} ${pingsFrom} pings_from app`,
      );
      await sh(
        guest,
        `dpkg-deb --raw-extract /root/wgdriver.deb /root/next
         sed -i 's/^Version: .*/Version: 99.0/' /root/next/DEBIAN/control
         dpkg-deb -Znone --build /root/next /root/next.deb >/dev/null
         rm -r /root/next
         start_container three & starting=$!
         ${install('/root/next.deb')}
         wait $starting
         ping_from three ${hubAddress}
         systemctl is-active wgdriver`,
      );
    });

    await t.test('removed: tunnels and state stay', async () => {
      await sh(guest, `dpkg --remove ${name}; ping_from one ${hubAddress}; ping_from three ${hubAddress}`);
      t.diagnostic(await lossless(guest, 'app'));
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

    await t.test(
      'purged: state goes and what holds shared tunnels ends, while seeds and keys stay',
      async () => {
        assert.equal(await sh(guest, keepers), '1');
        assert.match(await sh(guest, `dpkg --purge ${name}`), /\/etc\/wgdriver holds seeds or keys/);
        assert.equal(await sh(guest, keepers), '0');
        assert.equal(
          await sh(guest, 'ls -d /var/lib/wgdriver 2>/dev/null || :; ls /etc/wgdriver'),
          'provider.conf\nprovider.key',
        );
        await sh(guest, `ping_from one ${hubAddress}`);
      },
    );

    await t.test('through all of it Docker was not restarted, and the container lost no ping', async () => {
      await sh(guest, '[ "$(systemctl show -P MainPID docker)" = "$(cat /root/docker.pid)" ]');
      t.diagnostic(await lossless(guest, 'one'));
    });

    await t.test('purged with WGDRIVER_PURGE_SECRETS=yes: seeds and keys go, too', async () => {
      await sh(guest, `${install('/root/wgdriver.deb')}; WGDRIVER_PURGE_SECRETS=yes dpkg --purge ${name}`);
      assert.equal(await sh(guest, 'ls -d /var/lib/wgdriver /etc/wgdriver 2>/dev/null || :'), '');
    });
    await guest.powerOff({ hard: true });
  });
}
