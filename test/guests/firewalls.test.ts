/**
 * The firewalls that a hub may share its machine with: what `wgdriver hub check` prints is what makes the hub work, no
 * command of it too many. The hub, two peers and somebody outside are in one guest, each in a network namespace.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openLab, packageFiles } from '../../build/lab/index.ts';
import { hostFiles, sh } from './guest-host.ts';

/** The one whose disk has Python, which both firewalls are written in. */
const suite = 'bookworm';
const lab = await openLab({ isLong: true });
after(() => lab.close());

const functions = `
  # start_peer N: a container's end of a tunnel, 192.168.5.N and its counterpart
  start_peer() {
    ip netns add c$1
    ip link add u$1 type veth peer name eth0 netns c$1
    ip address add 10.99.$1.1/24 dev u$1; ip link set u$1 up
    ip -n c$1 link set lo up
    ip -n c$1 address add 10.99.$1.2/24 dev eth0; ip -n c$1 link set eth0 up
    ip -n c$1 link add wg type wireguard
    ip netns exec c$1 wg set wg private-key /root/$1.key peer $(wg show wg0 public-key) endpoint 10.99.$1.1:51820 \\
      allowed-ips 0.0.0.0/0,::/0 persistent-keepalive 1
    ip -n c$1 address add 192.168.5.$1/24 dev wg; ip -n c$1 address add fd12::c0a8:50$1/64 dev wg nodad
    ip -n c$1 link set wg up
    ip -n c$1 route add default dev wg; ip -n c$1 -6 route add default dev wg
  }

  # reach WAY ADDRESS. ufw forwards pings whatever its rules are.
  reach() { case $1 in hub*) ping -c 4 -i 0.4 -W 1 $2 ;; *) timeout 4 bash -c "</dev/tcp/$2/7000" ;; esac; }

  # show_open: the ways that are open. The first container sends from a port that no firewall has seen yet.
  show_open() {
    ip netns exec c2 wg set wg listen-port $((20000 + RANDOM))
    while read way from address; do
      ip netns exec $from bash -c "$(declare -f reach); reach $way $address" >/dev/null 2>&1 && echo $way &
    done <<END | sort | xargs
hub4 c2 192.168.5.1
hub6 c2 fd12::c0a8:501
peer4 c2 192.168.5.3
peer6 c2 fd12::c0a8:503
out4 c2 203.0.113.2
out6 c2 2001:db8::2
in4 beyond 192.168.5.3
in6 beyond fd12::c0a8:503
END
  }
`;
/** Script: it is active before it has its rules. */
const startFirewalld = 'systemctl start firewalld; until firewall-cmd --state; do sleep 0.2; done';
const everything = 'hub4 hub6 in4 in6 out4 out6 peer4 peer6';

/** How the command of a firewall is taken back; undefined for one that changes nothing by itself. */
function undoing(command: string): string | undefined {
  return command.startsWith('ufw')
    ? command.replace(/^ufw (route )?/, 'ufw $1delete ')
    : /--add-(?:interface|port|rich-rule)/.test(command)
      ? `${command.replace('--add-', '--remove-')}; firewall-cmd --reload`
      : undefined;
}

test('a hub beside other firewalls', async (t) => {
  const guest = await lab.boot({
    suite,
    hostname: 'hub',
    init: 'systemd',
    engine: true,
    files: { ...hostFiles, ...(await packageFiles(suite, ['ufw', 'firewalld'])) },
  });
  const on = (script: string) => sh(guest, functions + script);
  const open = () => on('show_open');
  const check = async () => {
    const { status, output } = await guest.exec('wgdriver hub check');
    const commands = output.split('\n').flatMap((line) => /^ {2}([^(].*)$/.exec(line)?.[1] ?? []);
    assert.equal(status, commands.length === 0 ? 0 : 1, output);
    return { output, commands };
  };
  /** What is printed opens everything, and nothing of it could be left out. */
  const expectExact = async (commands: readonly string[]) => {
    await on(commands.join('\n'));
    assert.equal(await open(), everything);
    assert.match((await check()).output, /no firewall on this host blocks it/);
    for (const command of commands) {
      const undo = undoing(command);
      if (undo !== undefined) {
        await on(undo);
        assert.notEqual(await open(), everything, undo);
        const again = await check();
        assert(again.commands.includes(command), `${undo}: ${again.output}`);
        await on(again.commands.join('\n'));
        assert.equal(await open(), everything, again.output);
      }
    }
  };

  await on(
    `systemctl disable --now docker docker.socket
     iptables -P FORWARD ACCEPT; iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X
     systemctl mask firewalld
     DEBIAN_FRONTEND=noninteractive dpkg --install /root/debs/*.deb
     systemctl unmask firewalld
     ip netns add beyond
     ip link add beyond type veth peer name eth0 netns beyond
     ip address add 203.0.113.1/24 dev beyond; ip address add 2001:db8::1/64 dev beyond nodad
     ip link set beyond up; ip -n beyond link set lo up; ip -n beyond link set eth0 up
     ip -n beyond address add 203.0.113.2/24 dev eth0; ip -n beyond address add 2001:db8::2/64 dev eth0 nodad
     ip -n beyond route add 192.168.5.0/24 via 203.0.113.1; ip -n beyond route add fd12::/64 via 2001:db8::1
     ip route add default via 203.0.113.2; ip -6 route add default via 2001:db8::2
     install -d -m 700 /etc/wgdriver
     for last in 2 3; do
       (umask 077; wg genkey >/root/$last.key)
       echo 192.168.5.$last $(wg pubkey </root/$last.key) >>/etc/wgdriver/app.keys
     done
     cat >/etc/wgdriver/hub.yaml <<END
networks:
  app: { subnet: 192.168.5.0/24, ipv6: 'fd12::/64', publickeysfile: app.keys }
masquerade: true
allow: { outside: [203.0.113.0/24, '2001:db8::/64'] }
END
     wgdriver hub install
     until systemctl -q is-active wgdriver-hub; do sleep 0.1; done
     start_peer 2; start_peer 3
     for name in c3 beyond; do
       setsid ip netns exec $name python3 -m http.server --bind :: 7000 </dev/null >/dev/null 2>&1 &
       until ip netns exec $name bash -c '</dev/tcp/127.0.0.1/7000' 2>/dev/null; do sleep 0.2; done
     done`,
  );
  assert.equal(await open(), everything);
  assert.deepEqual((await check()).commands, []);

  await t.test('ufw', async () => {
    await on('ufw --force enable');
    assert.equal(await open(), '');
    const { commands } = await check();
    t.diagnostic(commands.join('; '));
    assert(commands.every((command) => command.startsWith('ufw ')));
    await expectExact(commands);
    await on('ufw reload');
    assert.equal(await open(), everything);
    await on('ufw --force reset; ufw disable');
    assert.equal(await open(), everything);
  });

  await t.test('firewalld', async () => {
    await on(startFirewalld);
    assert.equal(await open(), '');
    const { commands } = await check();
    t.diagnostic(commands.join('; '));
    assert(commands.every((command) => command.startsWith('firewall-cmd ')));
    await expectExact(commands);
    await on(`systemctl stop firewalld; ${startFirewalld}`);
    assert.equal(await open(), everything);
    await on('systemctl stop firewalld');
    assert.equal(await open(), everything);
  });
  await guest.powerOff({ hard: true });
});
