// The units of the driver under a systemd of their own: process 1 of a namespace, with no other units than these.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { bundle } from '../support/wgdriver.ts';

const systemd = '/usr/lib/systemd/systemd';
const isRoot = process.getuid?.() === 0;
const options = existsSync(systemd) && isRoot ? { timeout: 240_000 } : { skip: 'needs systemd and root' };

/** What asks the driver, in the place of the engine; and a line for each answer. */
const ask = `
ask() {
  perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un("/run/docker/plugins/wireguard-plugin.sock")) or die "no socket\\n";
    syswrite(S, "POST /$ARGV[0] HTTP/1.1\\r\\nHost: \\r\\nContent-Length: 0\\r\\n\\r\\n"); sysread(S, $a, 4096); print "$1 " . ($a =~ /(\\{.*\\})/s)[0], "\\n" if $a =~ m{^HTTP/1.1 (\\d+)}' "$1"
}
state() { echo "$(systemctl is-active wgdriver.service wgdriver.socket wgdriver-unavailable.socket | tr '\\n' ' ')"; }
settled() { i=0; until [ "$(systemctl is-active "$1")" = "$2" ] || [ $i = 600 ]; do i=$((i + 1)); sleep 0.1; done; }
`;

test('the driver starts, cannot start, cannot even be started, and starts again', options, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-systemd-'));
  const cgroup = join(cgroup2(), `wgdriver-systemd-${process.pid}`);
  let child: ChildProcess | undefined;
  t.after(async () => {
    child?.kill('SIGKILL');
    await rm(folder, { recursive: true });
    await removeCgroups(cgroup);
  });
  const units = join(folder, 'units');
  await mkdir(units);
  const sources = new URL('../../build/systemd/', import.meta.url);
  for (const name of await readdir(sources)) {
    const text = await readFile(new URL(name, sources), 'utf8');
    const filled = text
      .replaceAll('@WGDRIVER@', '/run/program/node /run/program/wgdriver')
      .replaceAll('@NAME@', 'wireguard-plugin');
    await writeFile(join(units, name), filled);
  }
  // What units depend on by default, and what is to be done.
  for (const target of ['sysinit', 'basic', 'sockets', 'shutdown', 'local-fs', 'multi-user', 'umount']) {
    await writeFile(join(units, `${target}.target`), '[Unit]\nDefaultDependencies=no\n');
  }
  await writeFile(join(units, 'go.target'), '[Unit]\nDefaultDependencies=no\nWants=go.service\n');
  // Where the folder is for them: /tmp is theirs alone, since systemd leaves folders there when it is killed.
  const inside = '/run/test';
  await writeFile(
    join(units, 'go.service'),
    `[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh ${inside}/script\n` +
      `StandardOutput=file:${inside}/outcome\nStandardError=file:${inside}/outcome\n`,
  );
  const service = `${inside}/units/wgdriver.service`;
  const restarted = (line: string) =>
    `sed -i 's#^ExecStart=.*#ExecStart=${line}#' ${service}; systemctl daemon-reload
     systemctl reset-failed; systemctl restart wgdriver`;
  await writeFile(
    join(folder, 'script'),
    `${ask}
     systemctl start wgdriver.socket wgdriver.service; echo "started $?"; state; ask Plugin.Activate
     cp ${service} ${inside}/whole
     ${restarted('/bin/false')}; settled wgdriver-unavailable.socket active; state; ask Plugin.Activate
     ${restarted('/nowhere/node')}; settled wgdriver-unavailable.socket active; state; ask Plugin.Activate
     ${restarted('/bin/sh -c "exit 2"')}; settled wgdriver-unavailable.socket active; state; ask Plugin.Activate
     systemctl show --value --property=NRestarts wgdriver
     cp ${inside}/whole ${service}; systemctl daemon-reload; systemctl reset-failed; systemctl restart wgdriver
     echo "started $?"; state; ask Plugin.Activate; echo done`,
  );
  execFileSync('mkdir', [cgroup]);
  const script = `echo $$ >"$0/cgroup.procs"
    exec unshare --mount --pid --net --ipc --uts --cgroup --fork --kill-child --mount-proc sh -c '
      mount --make-rprivate /; mount -t tmpfs tmpfs /run; mkdir /run/lock; mount -t tmpfs tmpfs /var/lib
      mkdir ${inside}; mount --bind "$0" ${inside}
      mount -t cgroup2 cgroup2 /sys/fs/cgroup; ip link set lo up
      # The unit sees no /tmp but its own, and the project may be there.
      mkdir /run/program; touch /run/program/node /run/program/wgdriver
      mount --bind "$1" /run/program/node; mount --bind "$2" /run/program/wgdriver
      for folder in /tmp /var/tmp; do mount -t tmpfs tmpfs $folder; done
      exec env -i PATH="$PATH" container=lxc SYSTEMD_UNIT_PATH=${inside}/units ${systemd} --system --unit=go.target' "$@"`;
  child = spawn('sh', ['-c', script, cgroup, folder, process.execPath, bundle], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  let text = '';
  for (let count = 0; count < 2200 && !text.endsWith('done\n') && child.exitCode === null; count++) {
    await setTimeout(100);
    text = await readFile(join(folder, 'outcome'), 'utf8').catch(() => '');
  }
  child.kill('SIGKILL');
  await ended;

  const unavailable =
    'failed (failed|inactive) active \n503 {"Err": "wgdriver cannot start: see systemctl status wgdriver"}\n';
  const serving = 'started 0\nactive active inactive \n200 {"Implements":["NetworkDriver"]}\n';
  const told = text.replaceAll(/^(Job for|See "systemctl|Warning).*\n/gm, '');
  const pattern = `${serving}${unavailable.repeat(3)}0\n${serving}done\n`.replaceAll(/[{}[\]]/g, '\\$&');
  assert.match(told, new RegExp(`^${pattern}$`));
});

/** Where the second version of control groups is (cgroups(7)): alone, or beside the first. */
function cgroup2(): string {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((mount) => mount.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1] ?? assert.fail('cgroup2 is not mounted');
}

async function removeCgroups(folder: string): Promise<void> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) {
      await removeCgroups(join(folder, entry.name));
    }
  }
  // What the killed systemd had started is not gone in the same moment.
  for (let tries = 1; existsSync(folder); tries++) {
    try {
      rmdirSync(folder);
    } catch (error) {
      if (tries === 100) throw error;
      await setTimeout(100);
    }
  }
}
