// A Swarm of three nodes on this machine, each an engine in namespaces of its own; test/guests/swarm.test.ts has machines.
import { openLocalCluster } from '../../build/host/local-cluster.ts';
import { describeSwarm } from '../../build/host/swarm.ts';

for (const scope of ['global', 'local'] as const) {
  describeSwarm('three nodes in namespaces', scope, () => openLocalCluster(scope, 3));
}
