/**
 * A host whose driver cannot start: the engine and everybody else's containers come up all the same. In the full run:
 * it boots a machine six times. WGDRIVER_TEST_SUITES=bookworm,trixie and WGDRIVER_TEST_KERNEL=lab or debian take some of the
 * machines, and WGDRIVER_TEST_SCENARIO the causes with these words.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Guest, openLab, SUITES } from '../../build/lab/index.ts';
import { diagnosis, hostFiles, hubAddress, hubFiles, sh, startHubBeside } from './guest-host.ts';

const { WGDRIVER_TEST_SUITES: named, WGDRIVER_TEST_KERNEL: kernelNamed } = process.env;
const suites = SUITES.filter((suite) => named?.split(',').includes(suite) ?? true);
const kernels = ([undefined, 'debian'] as const).filter(
  (kernel) => kernelNamed === undefined || kernelNamed === (kernel ?? 'lab'),
);

/** From the start of the engine to `docker ps` that answers and containers of other networks that run. */
const bootSeconds = 30;

interface Cause {
  readonly spoil: string;
  readonly mend: string;
  /** Of systemd's unit, once it is over. */
  readonly state: 'active' | 'failed';
  /** What the journal says. */
  readonly says: RegExp;
  /** It cannot be had on the lab's own kernel, which has everything built in. */
  readonly needsModules?: boolean;
}

const causes: Readonly<Record<string, Cause>> = {
  'a typo in WGDRIVER_OPTIONS': {
    spoil: `echo 'WGDRIVER_OPTIONS="--backend netlinc"' >/etc/default/wgdriver`,
    mend: 'rm /etc/default/wgdriver',
    state: 'failed',
    says: /option --backend: expected one of .*, got netlinc/,
  },
  'a full disk': {
    // A small one of its own, so that the engine's is not full.
    spoil: `echo 'tmpfs /var/lib/wgdriver tmpfs size=4k,nr_inodes=1 0 0' >>/etc/fstab`,
    mend: 'sed -i /wgdriver/d /etc/fstab; systemctl daemon-reload; systemctl stop wgdriver.socket wgdriver; umount /var/lib/wgdriver',
    state: 'active',
    says: /ENOSPC/,
  },
  'the state of a newer driver': {
    spoil: `echo '{"version":1000}' >/var/lib/wgdriver/networks/newer.json`,
    mend: 'rm /var/lib/wgdriver/networks/newer.json',
    state: 'active',
    says: /written by a newer wgdriver/,
  },
  'a kernel without WireGuard': {
    spoil: 'echo "install wireguard /bin/false" >/etc/modprobe.d/no.conf',
    mend: 'rm /etc/modprobe.d/no.conf',
    state: 'active',
    says: /no WireGuard from the kernel/,
    needsModules: true,
  },
  'a Node that has moved': {
    spoil: 'mv /usr/local/bin/node /usr/bin/',
    mend: 'mv /usr/bin/node /usr/local/bin/',
    state: 'failed',
    says: /203\/EXEC|Failed at step EXEC|Failed to execute|No such file/,
  },
};

const wanted = process.env.WGDRIVER_TEST_SCENARIO;

for (const [suite, kernel] of suites.flatMap((name) => kernels.map((kind) => [name, kind] as const))) {
  test(`a driver that cannot start, on ${suite}${kernel === undefined ? '' : ' with its own kernel'}`, async (t) => {
    const lab = await openLab();
    t.after(() => lab.close());
    const disk = await lab.disk(suite);
    const options = { suite, kernel, disk, cpus: 1, init: 'systemd', engine: true } as const;
    const files = { ...hostFiles, ...(await hubFiles()) };
    const reboot = async (before: Guest) => {
      void before.exec('systemctl poweroff').catch(() => undefined);
      await before.gone;
      // Without a wait for its engine, which is what this is about.
      return lab.boot({ ...options, engine: false });
    };
    let guest = await lab.boot({ ...options, files });
    await sh(
      guest,
      `wgdriver service install
       ${startHubBeside} import_image
       create_network wgnet 10.99.0.2:51820 $(ip netns exec hub wg show wg-hub public-key)
       for i in 1 2 3 4 5; do
         start_container ours$i --restart=always
         docker run -d --name other$i --restart=always --stop-signal KILL wgdriver-test sleep 100000
       done`,
      600,
    );
    // A machine that does other work takes longer for all of it.
    guest = await reboot(guest);
    const usualSeconds = await secondsToRun(guest);
    t.diagnostic(`${suite}, a driver that starts: ${usualSeconds} s from the engine's start`);
    const most = Math.max(bootSeconds, usualSeconds + 20);
    for (const [cause, { spoil, mend, state, says, needsModules = false }] of Object.entries(causes)) {
      if ((wanted !== undefined && !cause.includes(wanted)) || (needsModules && guest.kernel !== 'debian')) {
        continue;
      }
      await t.test(cause, async () => {
        await sh(guest, `${spoil}; sync`);
        guest = await reboot(guest);
        const seconds = await secondsToRun(guest);
        t.diagnostic(`${suite}, ${cause}: ${seconds} s from the engine's start`);
        assert.ok(seconds <= most, `${seconds} s, where ${most} are expected`);
        const { output } = await guest.exec('systemctl is-active wgdriver.service');
        assert.equal(output.trim(), state);
        assert.match(await sh(guest, 'journalctl --no-pager -b -u wgdriver.service'), says);
        assert.equal((await diagnosis(guest, 'plugin')).status, 'fail');
        // A removal that is refused.
        await sh(guest, 'docker rm -f ours1');

        await sh(
          guest,
          `${mend}
           [ ${state} = active ] || systemctl reset-failed wgdriver
           systemctl start wgdriver
           ${startHubBeside}
           i=0; until docker start ours2; do i=$((i + 1)); [ $i -lt 20 ]; sleep 1; done
           ping_from ours2 ${hubAddress}
           start_container ours1 --restart=always
           ping_from ours1 ${hubAddress}
           docker start ours3 ours4 ours5`,
          600,
        );
      });
    }
  });
}

/** Until the engine answers and the containers of other networks run, from when systemd started the engine. */
async function secondsToRun(guest: Guest): Promise<number> {
  const output = await sh(
    guest,
    `i=0; until [ "$(docker ps --quiet --filter name=other | wc -l)" = 5 ]; do
       i=$((i + 1))
       [ $i -lt 300 ] || { docker ps --all; journalctl --no-pager -b -u docker -u 'wgdriver*' | tail -60; exit 1; }
       sleep 0.5
     done
     cut -d. -f1 /proc/uptime
     systemctl show --value --property=ExecMainStartTimestampMonotonic docker`,
    600,
  );
  const [now = 0, startedMicroseconds = 0] = output.split('\n').map(Number);
  return now - Math.floor(startedMicroseconds / 1e6);
}
