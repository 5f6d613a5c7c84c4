/**
 * A Swarm of a manager and two workers, and their hub, each a guest on one segment. For the full run. test/runtimes/swarm-nodes.test.ts has the same with nodes in namespaces.
 */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after } from 'node:test';
import { type ClusterNode, describeSwarm, type Scope } from '../../build/host/swarm.ts';
import { type Guest, openLab, SUITES, type Suite } from '../../build/lab/index.ts';
import { hostFiles, sh } from './guest-host.ts';
import { createdPlugin, exampleHubFiles, pluginFunctions } from './managed-plugin.ts';

/** Of the last node's clock. */
const secondsBehind = 30;

const lab = await openLab({ places: 2 });
after(() => lab.close());

for (const suite of SUITES) {
  for (const scope of ['global', 'local'] as const) {
    describeSwarm(`three nodes on ${suite}, one of them with its clock behind`, scope, () =>
      openCluster(suite, scope),
    );
  }
}

async function openCluster(suite: Suite, scope: Scope) {
  const segment = lab.segment();
  const at = (address: string) => [{ segment, address: `${address}/24` }];
  const plugin = await createdPlugin();
  const files = { ...hostFiles, ...plugin.files, '/root/compose-examples': resolve('compose-examples') };
  const node = { suite, cpus: 1, memoryMegabytes: 1024, files } as const;
  const [hub, ...guests] = await Promise.all([
    lab.boot({
      suite,
      cpus: 1,
      memoryMegabytes: 384,
      files: await exampleHubFiles(),
      networks: at('10.77.0.1'),
    }),
    lab.boot({ ...node, hostname: 'node1', networks: at('10.77.0.2') }),
    lab.boot({ ...node, hostname: 'node2', networks: at('10.77.0.3') }),
    lab.boot({ ...node, hostname: 'node3', networks: at('10.77.0.4'), clockOffsetSeconds: -secondsBehind }),
  ]);
  await plugin.remove();
  await sh(hub, 'start_hub');
  await Promise.all(
    guests.map((guest) =>
      sh(
        guest,
        `touch /etc/resolv.conf
         mount --make-rshared /
         start_engine
         import_image`,
        600,
      ),
    ),
  );
  // One at a time: the engine has little patience with a plugin, and the machine few processors.
  for (const guest of guests) {
    await sh(guest, `${pluginFunctions} enable_plugin WGDRIVER_SCOPE=${scope}`, 600);
  }
  return {
    hub: { hostname: 'hub', sh: (script: string) => sh(hub, script) },
    nodes: guests.map(clusterNode),
    examples: '/root/compose-examples',
    secondsBehind,
    close: async () => {
      await Promise.all([hub, ...guests].map((guest) => guest.powerOff({ hard: true })));
    },
  };
}

function clusterNode(guest: Guest): ClusterNode {
  return {
    hostname: guest.hostname,
    sh: (script) => sh(guest, script, 600),
    async setConnected(isConnected) {
      const [plug] = guest.plugs;
      assert(plug);
      plug.connected = isConnected;
    },
    powerOff: () => guest.powerOff({ hard: true }),
  };
}
