/**
 * `npm run bench -- scale [PEERS,…] [CONTAINERS,…]`: what many peers cost a hub, in a guest with the kernel's WireGuard: writing its file,
 * setting it up, changing one peer, and shaking hands with many containers at once after a restart. Guests are
 * emulated, so a yardstick is measured on both sides: how much slower arithmetic is in there.
 */
import { diffieHellman, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../host/commands.ts';
import { wgdriver } from '../host/driver.ts';
import { openLab } from '../lab/index.ts';
import { table } from './figures.ts';

const peerCounts = (process.argv[2] ?? '1000,10000,65000').split(',').map(Number);
const containerCounts = (process.argv[3] ?? '100,400').split(',').map(Number);
const seed = 'c2NhbGUgc2NhbGUgc2NhbGUgc2NhbGU=';
const derive = [`--seed=${seed}`, '--format=setconf'];

/** Functions of bash(1). */
const helpers = `
  set -euo pipefail
  now() { date +%s.%N; }
  # seconds since $1
  since() { awk -v from=$1 -v to=$(now) 'BEGIN { printf "%.2f", to - from }'; }
  # seconds of a command, whose output is dropped
  seconds() { local began=$(now); "$@" >/dev/null; since $began; }
  available() { awk '/MemAvailable/ { print $2 }' /proc/meminfo; }`;

const yardstick = `seconds bash -c 'for ((i = 0; i < 200000; i++)); do :; done'`;

/** A hub with $1 peers, and then with $2. */
const manyPeers = `
  ip link add wg-many type wireguard
  before=$(available)
  setconf=$(seconds wg setconf wg-many /root/peers.$1)
  memory=$(( (before - $(available)) / 1024 ))
  same=$(seconds wg syncconf wg-many /root/peers.$1)
  more=$(seconds wg syncconf wg-many /root/peers.$2)
  one=$(seconds wg set wg-many peer $(wg genkey | wg pubkey) allowed-ips 10.1.255.254/32)
  dump=$(seconds wg show wg-many dump)
  ip link delete wg-many
  echo $setconf $memory $same $more $one $dump`;

/**
 * A hub with $2 peers that comes back to $1 containers which all have been asking for it: links in one namespace that try every five
 * seconds. Processor time is the whole guest's, which does
 * nothing else but to look once a second.
 */
const restart = `
  ip netns add hub; ip netns add clients
  ip link add eth0 netns hub type veth peer name eth0 netns clients
  for side in hub clients; do ip -n $side link set eth0 up; ip -n $side link set lo up; done
  ip -n hub address add 10.99.0.1/24 dev eth0
  ip -n clients address add 10.99.0.2/24 dev eth0
  wg genkey >hub.key
  key=$(wg pubkey <hub.key)
  i=0
  while read -r private && [ $i -lt $1 ]; do
    printf '[Interface]\\nPrivateKey = %s\\n[Peer]\\nPublicKey = %s\\nEndpoint = 10.99.0.1:51820\\nAllowedIPs = 0.0.0.0/0\\nPersistentKeepalive = 25\\n' \\
      $private $key >client.conf
    ip -n clients link add c$i type wireguard
    ip netns exec clients wg setconf c$i client.conf
    ip -n clients link set c$i up
    i=$((i + 1))
  done <keys
  ip -n hub link add wg-hub type wireguard
  ip netns exec hub wg setconf wg-hub /root/peers.$2
  ip netns exec hub wg set wg-hub private-key hub.key listen-port 51820
  busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
  shaken() { ip netns exec hub wg show wg-hub latest-handshakes | awk '$2 > 0' | wc -l; }
  cost=$(busy); began=$(now)
  ip -n hub link set wg-hub up
  until [ $(shaken) -ge $1 ]; do sleep 1; done
  took=$(since $began); cost=$(( $(busy) - cost ))
  ip netns delete hub; ip netns delete clients
  echo $took $(awk -v ticks=$cost -v count=$1 'BEGIN { printf "%.1f", ticks * 10 / count }')`;

const folder = await mkdtemp(join(tmpdir(), 'wgdriver-scale-'));
const lab = await openLab();
try {
  const files: Record<string, string> = {};
  const writing: string[] = [];
  for (const count of peerCounts) {
    // And one more, to change it.
    for (const peers of [count, count + 1]) {
      const output = join(folder, String(peers));
      const started = performance.now();
      await run(wgdriver, [
        'endpoint-config',
        ...derive,
        `--peers=${peers}`,
        `--output=${output}`,
        '10.0.0.0/15',
      ]);
      if (peers === count) {
        writing.push(((performance.now() - started) / 1000).toFixed(1));
      }
      files[`/root/peers.${peers}`] = output;
    }
  }
  const clients = Math.max(...containerCounts);
  const keys = await run(wgdriver, [
    'keys',
    `--seed=${seed}`,
    '--private',
    `10.0.0.2-${addressOf(clients + 1)}`,
  ]);
  const guest = await lab.boot({
    suite: 'trixie',
    cpus: 1,
    memoryMegabytes: 2048,
    files: { ...files, '/root/keys': Buffer.from(`${keys}\n`) },
  });
  /** Runs a script in the guest; the last line of its output, as numbers. */
  const figures = async (script: string, ...args: (string | number)[]) => {
    const { status, output } = await guest.exec(`set -- ${args.join(' ')}\n${helpers}\n${script}`, {
      timeoutSeconds: 1200,
    });
    if (status !== 0) {
      throw new Error(`status ${status}: ${output}`);
    }
    return (output.trimEnd().split('\n').at(-1) ?? '').split(' ');
  };

  const rows: string[][] = [];
  for (const [index, count] of peerCounts.entries()) {
    rows.push([String(count), writing[index] ?? '', ...(await figures(manyPeers, count, count + 1))]);
    console.error(rows.at(-1)?.join(' '));
  }
  const enough = Math.min(...peerCounts.filter((count) => count >= clients));
  const rounds: string[][] = [];
  for (const count of containerCounts) {
    rounds.push([String(count), ...(await figures(restart, count, enough))]);
    console.error(rounds.at(-1)?.join(' '));
  }
  const [inGuest] = await figures(yardstick);
  await guest.powerOff({ hard: true });

  const [here] = (await run('bash', ['-c', `${helpers}\n${yardstick}`])).split(' ');
  console.log(
    `${table(
      [
        'peers',
        'endpoint-config here, s',
        'wg setconf, s',
        'kernel memory, MB',
        'wg syncconf, nothing new, s',
        'wg syncconf, one more, s',
        'wg set, one more, s',
        'wg show dump, s',
      ],
      rows,
    )}\n`,
  );
  console.log(
    `${table(
      ['containers', 'all have shaken hands after, s', 'processor time for both ends of one handshake, ms'],
      rounds,
    )}\n`,
  );
  console.log(
    `One processor of the guest does the yardstick in ${inGuest} s, this machine in ${here} s; X25519 by OpenSSL here: ` +
      `${x25519PerSecond().toFixed(0)} a second and processor`,
  );
} finally {
  await lab.close();
  await rm(folder, { recursive: true });
}

/** The address of the nth host of 10.0.0.0/15. */
function addressOf(n: number): string {
  return `10.0.${n >> 8}.${n & 255}`;
}

function x25519PerSecond(): number {
  const own = generateKeyPairSync('x25519');
  const other = generateKeyPairSync('x25519');
  const rounds = 10_000;
  const started = performance.now();
  for (let i = 0; i < rounds; i += 1) {
    diffieHellman({ privateKey: own.privateKey, publicKey: other.publicKey });
  }
  return (rounds / (performance.now() - started)) * 1000;
}
