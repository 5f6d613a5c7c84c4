import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { testImage } from './engine.ts';
import { tunnelIpv6 } from './hub.ts';
import { untilNothingLeft } from './machine.ts';
import { managedPlugin } from './plugin.ts';

/** A machine of a cluster. Its scripts of bash(1) may call machineFunctions (machine.ts). */
export interface ClusterMachine {
  readonly hostname: string;
  /** Runs a script to its end; its output. @throws if it fails */
  sh(script: string): Promise<string>;
}

export interface ClusterNode extends ClusterMachine {
  /** Puts the cable in or takes it out. */
  setConnected(isConnected: boolean): Promise<void>;
  /** Pulls the plug. */
  powerOff(): Promise<void>;
}

/**
 * A hub at 10.77.0.1, and fd77::1 as soon as describeSwarm has given it that, with a peer for each address of the examples' subnet on the link wg-hub and for the IPv6 address
 * that goes with it, and nodes from 10.77.0.2 on:
 * each with an engine that runs, the image of the tests, the managed plugin enabled in the scope, and `wgdriver`.
 */
export interface Cluster {
  readonly hub: ClusterMachine;
  readonly nodes: readonly ClusterNode[];
  /** Where compose-examples is on the nodes. */
  readonly examples: string;
  /** How much the last node's clock is behind; undefined where all have one clock. */
  readonly secondsBehind?: number;
  close(): Promise<void>;
}

export type Scope = 'global' | 'local';

const hubAddress = '192.168.5.1';
/** In scope global the tunnels’ own packets go over IPv6. */
const hubEndpoint = { global: '[fd77::1]:51820', local: '10.77.0.1:51820' } as const;
const addOuterIpv6 = (number: number) =>
  `ip address add fd77::${number}/64 nodad dev $(ip -o -4 address show to 10.77.0.0/24 | cut -d ' ' -f 2)`;
const replicas = 6;

/** The IPv6 address that goes with one of the subnet. */
const ipv6Of = (address: string) =>
  tunnelIpv6.hub.replace(/..$/, Number(address.split('.')[3]).toString(16).padStart(2, '0'));

interface Task {
  readonly node: ClusterNode;
  readonly container: string;
  readonly address: string;
}

/** The example with IPv6, of which Swarm's managers give no addresses away. */
const withIpv6 = `sed 's|^    driver_opts:|&\\n      io.bestov.wg.ipv6: ${tunnelIpv6.prefix}|' compose.yaml`;

/** What takes minutes is for the full run. */
const slow = { skip: process.env.WGDRIVER_TEST_FULL === undefined ? 'it is for the full run' : false };

/** Tests of the examples' stacks on a Swarm of a manager and its workers, of which one gets lost. */
export function describeSwarm(title: string, scope: Scope, open: () => Promise<Cluster>): void {
  describe(`${title}, scope ${scope}`, () => {
    let cluster: Cluster;
    let nodes: readonly ClusterNode[];
    let manager: ClusterNode;
    let worker: ClusterNode;
    let hubKey: string;
    const network = scope === 'global' ? 'app_tunnel' : 'wgnet';
    const inExample = () =>
      `cd ${cluster.examples}/swarm-${scope}; export APP_IMAGE=${testImage} HUB=${hubEndpoint[scope]} HUB_PUBLIC_KEY=${hubKey}`;
    const onNodes = (script: string) => Promise.all(nodes.map((node) => node.sh(script)));

    before(async () => {
      cluster = await open();
      nodes = cluster.nodes;
      const [first, second] = nodes;
      assert(first && second);
      [manager, worker] = [first, second];
      hubKey = await cluster.hub.sh(
        `ip address add ${tunnelIpv6.hub}/120 dev wg-hub
         sysctl -qw net.ipv6.conf.all.forwarding=1
         ${addOuterIpv6(1)}
         wg show wg-hub public-key`,
      );
      for (const [index, node] of nodes.entries()) {
        await node.sh(addOuterIpv6(index + 2));
      }
      const token = await manager.sh(
        'docker swarm init --advertise-addr 10.77.0.2 >/dev/null; docker swarm join-token -q worker',
      );
      for (const joining of nodes.slice(1)) {
        await joining.sh(`docker swarm join --token ${token} 10.77.0.2:2377`);
      }
    });

    after(() => cluster?.close());

    /** Waits until so many tasks run on these nodes and all is quiet. */
    async function tasksOn(hosts: readonly ClusterNode[], count: number): Promise<Task[]> {
      const list = `for id in $(docker ps -q --filter label=com.docker.swarm.service.name=app_web); do
      echo $id $(docker exec $id ip -4 -o address show wg0 | grep -o 'inet [^/]*' | cut -d ' ' -f 2) || true; done`;
      for (let tries = 0; tries < 60; tries += 1) {
        const running = Number(
          await manager.sh(
            `docker service ps app_web --filter desired-state=running --format '{{.CurrentState}}' | grep -c ^Running || true`,
          ),
        );
        const found = await Promise.all(
          hosts.map(async (node) =>
            (await node.sh(list))
              .split('\n')
              .filter((line) => / \d/.test(line))
              .map((line) => ({
                node,
                container: line.split(' ')[0] ?? '',
                address: line.split(' ')[1] ?? '',
              })),
          ),
        );
        const tasks = found.flat();
        if (running === count && tasks.length === count) {
          return tasks;
        }
        await sleep(3000);
      }
      assert.fail(`no ${count} tasks run: ${await manager.sh('docker service ps --no-trunc app_web')}`);
    }

    /** Each has an address of its own, reaches the hub and all others, and the hub knows its key. */
    async function expectAllReached(tasks: readonly Task[]): Promise<void> {
      const addresses = tasks.map(({ address }) => address);
      assert.equal(new Set(addresses).size, tasks.length, addresses.join(', '));
      const reached = [hubAddress, ...addresses];
      if (scope === 'global') {
        // Two stand for all of them: how one is reached is known of IPv4 by then.
        reached.push(tunnelIpv6.hub, ...addresses.slice(-2).map(ipv6Of));
      }
      for (const address of reached) {
        await Promise.all(
          nodes.map(async (node) => {
            const containers = tasks.filter((task) => task.node === node).map(({ container }) => container);
            await node.sh(
              containers.map((container) => `ping_from ${container} ${address} >/dev/null`).join('\n'),
            );
          }),
        );
      }
      const shaken = await cluster.hub.sh(`wg show wg-hub dump | awk '$5 > 0 { print $4 }'`);
      for (const address of addresses) {
        assert(shaken.includes(`${address}/32`), `the hub has shaken hands with ${address}`);
      }
    }

    test('the stack: six replicas over the nodes reach the hub and one another', async () => {
      if (scope === 'local') {
        for (const [index, node] of nodes.entries()) {
          await node.sh(`${inExample()}; ./node.sh $HUB $HUB_PUBLIC_KEY 192.168.5.${64 * (index + 1)}/26`);
        }
        await manager.sh(
          `docker network create -d ${managedPlugin} --scope swarm --config-from wgnet-config wgnet`,
        );
      }
      const file = scope === 'global' ? withIpv6 : 'cat compose.yaml';
      await manager.sh(`${inExample()}; ${file} | docker stack deploy -c - app`);
      const tasks = await tasksOn(nodes, replicas);
      for (const node of nodes) {
        assert(
          tasks.some((task) => task.node === node),
          `${node.hostname} has a task: ${await manager.sh('docker service ps --no-trunc app_web')}`,
        );
      }
      await expectAllReached(tasks);
      const [task] = tasks;
      assert(task);
      const names = await task.node.sh(`docker exec ${task.container} nslookup web 127.0.0.11`);
      for (const { address } of tasks) {
        assert(names.includes(address), `web is ${address}, on each node`);
        // Nodes tell one another the one address that the managers gave, so there is no AAAA (docs/swarm.md).
        assert(!names.includes(ipv6Of(address)), `the IPv6 address of ${address} has a name:\n${names}`);
      }
      if (scope === 'global') {
        const outer = await cluster.hub.sh('wg show wg-hub endpoints');
        assert.match(outer, /\[fd77::2\]:/, 'the tunnel’s own packets go over IPv6');
        assert.doesNotMatch(outer, /10\.77\.0\./);
      }
    });

    test('the hub’s file from the manager, and what doctor says', async () => {
      const peers = `wgdriver endpoint-config --format setconf --network ${network} 2>/dev/null | grep -c PublicKey`;
      assert.equal(await manager.sh(peers), '253');
      assert.match(
        await manager.sh('wgdriver doctor | grep ip-range'),
        scope === 'global'
          ? /^pass .* managers assign all/
          : /^pass .* wgnet-config assigns 192\.168\.5\.64\/26/,
      );
    });

    test('scaled up, down, and updated one by one', slow, async () => {
      await manager.sh('docker service scale --detach app_web=9');
      await expectAllReached(await tasksOn(nodes, 9));
      await manager.sh('docker service scale --detach app_web=6');
      const before = await tasksOn(nodes, replicas);
      await manager.sh('docker service update --detach --force app_web');
      let now = before;
      for (
        let tries = 0;
        tries < 20 && now.some(({ container }) => before.some((task) => task.container === container));
        tries += 1
      ) {
        await sleep(3000);
        now = await tasksOn(nodes, replicas);
      }
      assert(now.every(({ container }) => !before.some((task) => task.container === container)));
      await expectAllReached(now);
    });

    test(
      'a node that is cut off loses its tasks to the others, and is in its place again when it is back',
      slow,
      async () => {
        await worker.setConnected(false);
        const others = nodes.filter((node) => node !== worker);
        await manager.sh(`until docker node ls | grep ${worker.hostname} | grep -q Down; do sleep 2; done`);
        await expectAllReached(await tasksOn(others, replicas));
        await worker.setConnected(true);
        await manager.sh(`until docker node ls | grep ${worker.hostname} | grep -q Ready; do sleep 2; done`);
        await worker.sh(`until [ -z "$(docker ps -q)" ]; do sleep 2; done; ! show_links | grep ^wg`);
      },
    );

    test('a node without power: its tasks go on elsewhere, and the hub takes their keys', slow, async () => {
      await manager.sh('docker service update --detach --force app_web');
      await sleep(10_000);
      await tasksOn(nodes, replicas);
      await worker.powerOff();
      nodes = nodes.filter((node) => node !== worker);
      await manager.sh(`until docker node ls | grep ${worker.hostname} | grep -q Down; do sleep 2; done`);
      const tasks = await tasksOn(nodes, replicas);
      await expectAllReached(tasks);
    });

    test('the stack removed: no link, no state, on any node', async () => {
      await manager.sh('docker stack rm app');
      await onNodes('until [ -z "$(docker ps -q)" ]; do sleep 1; done');
      if (scope === 'local') {
        await manager.sh('until docker network rm wgnet; do sleep 1; done');
      }
      await onNodes(untilNothingLeft('/var/lib/wgdriver-plugin'));
    });

    test('an address that moves to a node whose clock is behind', slow, async (t) => {
      const { secondsBehind } = cluster;
      const slowNode = nodes.at(-1);
      if (scope === 'local' || secondsBehind === undefined || slowNode === undefined) {
        t.skip('it takes a node whose clock is behind, and addresses that move');
        return;
      }
      const address = '192.168.5.250';
      // Prints how many seconds after its start a ping was answered over each family.
      const untilAnswered = `read began rest </proc/uptime
        until ping -c 1 -W 1 ${hubAddress} >/dev/null && ping -c 1 -W 1 ${tunnelIpv6.hub} >/dev/null; do :; done
        read now rest </proc/uptime
        echo $began $now
        sleep 100000`;
      const at = (node: ClusterNode) => `node.hostname==${node.hostname}`;
      /** Waits for the first answer; how long that took there, and when the hub last shook hands with the key, in seconds. */
      const firstAnswer = async (node: ClusterNode) => {
        const printed = await node.sh(
          `until line=$(docker logs $(docker ps -q --filter label=com.docker.swarm.service.name=moving) 2>/dev/null) &&
             [ -n "$line" ]; do sleep 0.2; done
           echo "$line"`,
        );
        const [began = Number.NaN, now = Number.NaN] = printed.split(' ').map(Number);
        const shaken = await cluster.hub.sh(
          `wg show wg-hub dump | awk 'index($4, "${address}/32") == 1 { print $5 }'`,
        );
        return { silent: now - began, handshake: Number(shaken) };
      };
      // A network with one address to assign.
      await manager.sh(
        `docker network create -d ${managedPlugin} --subnet 192.168.5.0/24 --ip-range ${address}/32 --gateway ${hubAddress} \\
           -o io.bestov.wg.peer=10.77.0.1:51820 -o io.bestov.wg.peerkey=${hubKey} -o io.bestov.wg.seedfile=app.seed \\
           -o io.bestov.wg.ipv6=${tunnelIpv6.prefix} single
         docker service create --detach --name moving --network single --endpoint-mode dnsrr --no-resolve-image \\
           --stop-grace-period 1s --constraint ${at(manager)} ${testImage} sh -c '${untilAnswered}'`,
      );
      const usual = await firstAnswer(manager);
      await manager.sh(
        `docker service update --detach --constraint-rm ${at(manager)} --constraint-add ${at(slowNode)} moving`,
      );
      const moved = await firstAnswer(slowNode);
      const between = moved.handshake - usual.handshake;
      console.log(
        `clock ${secondsBehind} s behind: both families answered after ${moved.silent.toFixed(1)} s, on the node ` +
          `before after ${usual.silent.toFixed(1)} s; ${between} s between the two handshakes`,
      );
      assert(between >= secondsBehind - 3, `${between} s between the two handshakes`);
      await manager.sh('docker service rm moving; until docker network rm single; do sleep 1; done');
    });
  });
}
