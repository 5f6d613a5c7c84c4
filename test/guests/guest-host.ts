import assert from 'node:assert/strict';
import { run } from '../../build/host/commands.ts';
import { stateFolder, wgdriver } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { driverName } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';
import { machineFunctions } from '../../build/host/machine.ts';
import type { Guest, GuestFiles } from '../../build/lab/index.ts';

/** What makes a guest a host with the driver: Node and the bundle. */
export const hostFiles: GuestFiles = {
  '/usr/local/bin/node': process.execPath,
  '/usr/local/bin/wgdriver': wgdriver,
};

/** What makes a guest a hub: a peer for each address of the article's subnet. `more` is for `endpoint-config`. */
export async function hubFiles(...more: readonly string[]): Promise<GuestFiles> {
  const scheme = [`--seed=${article.seed}`, `--additional=${article.additional}`];
  const peers = await run(wgdriver, [
    'endpoint-config',
    '--format=setconf',
    ...scheme,
    ...more,
    article.subnet,
  ]);
  return { '/root/hub.peers': Buffer.from(`${peers}\n`) };
}

/** The hub's address in the tunnel. */
export const hubAddress = '192.168.5.1';

/** Functions of bash(1) that scripts in guests may call. */
const functions = `${machineFunctions}

  # start_driver [BACKEND]: waits until it serves
  start_driver() {
    local log=/var/log/wgdriver.log
    local before=$(cat $log 2>/dev/null | wc -c)
    setsid wgdriver serve --backend \${1-iproute} </dev/null >>$log 2>&1 &
    local pid=$!
    echo $pid >/run/wgdriver.pid
    until tail -c +$((before + 1)) $log | grep -q ' serving '; do
      kill -0 $pid || { cat $log; return 1; }
      sleep 0.5
    done
  }

  # dockerd gives its containerd 15 seconds, which a busy emulated machine may exceed at the first start.
  start_engine() { engine start || engine start; }

  # Imports an image with the few programs that containers need.
  import_image() {
    mkdir -p /root/image/bin /root/image/tmp
    cp "$(command -v busybox)" /root/image/bin/busybox
    for name in sh cat ip ls nslookup ping sleep; do ln -sf busybox /root/image/bin/$name; done
    tar -C /root/image -c . | docker import - ${testImage} >/dev/null
  }

  # Makes the hub in this network namespace. Its key is kept in a file.
  start_hub() {
    [ -s /root/hub.key ] || (umask 077; wg genkey >/root/hub.key)
    ip link add wg-hub type wireguard
    wg addconf wg-hub /root/hub.peers
    wg set wg-hub private-key /root/hub.key listen-port 51820
    ip address add ${hubAddress}/24 dev wg-hub
    ip link set wg-hub up
    sysctl -qw net.ipv4.ip_forward=1
  }

  # create_network NAME PEER PEERKEY [ARGUMENT...]: with the article's seed and subnet
  create_network() {
    local name=$1 peer=$2 peerkey=$3
    shift 3
    docker network create -d ${driverName} --subnet ${article.subnet} \\
      -o io.bestov.wg.peer=$peer -o io.bestov.wg.peerkey=$peerkey \\
      -o io.bestov.wg.seed=${article.seed} -o io.bestov.wg.additional=${article.additional} "$@" $name
  }

  # start_container NAME [ARGUMENT...]: one that sleeps, on the network wgnet
  start_container() {
    local name=$1
    shift
    docker run -d --name $name --network wgnet --stop-signal KILL "$@" ${testImage} sleep 100000
  }

  # The names of all files of the driver's state.
  show_state() { (cd ${stateFolder} && find . -type f); }
`;

/** Script: a hub in a namespace of the host's, at 10.99.0.2, with the key that it had before. */
export const startHubBeside = `
  ip netns add hub
  ip link add hub-host type veth peer name eth0 netns hub
  ip address add 10.99.0.1/24 dev hub-host
  ip link set hub-host up
  ip -n hub link set lo up
  ip -n hub address add 10.99.0.2/24 dev eth0
  ip -n hub link set eth0 up
  ip netns exec hub bash -c "$(declare -f start_hub); start_hub"
`;

/** Runs a script of bash(1) in a guest, with the functions above; its output. @throws if it fails */
export async function sh(guest: Guest, script: string, timeoutSeconds = 240): Promise<string> {
  const { status, output } = await guest.exec(functions + script, { timeoutSeconds });
  assert.equal(status, 0, `${guest.hostname}: ${script}\n${output}`);
  return output.trimEnd();
}

/** What `wgdriver doctor` finds of one check, on a guest. */
export async function diagnosis(guest: Guest, name: string): Promise<{ status: string; cause: string }> {
  const { checks } = JSON.parse(await sh(guest, 'wgdriver doctor --json || [ $? = 1 ]')) as {
    checks: { name: string; status: string; cause: string }[];
  };
  const check = checks.find((candidate) => candidate.name === name);
  assert.ok(check, `there is a check called ${name}`);
  return check;
}
