/** Life cycles at the socket, 64 at once, with real links: what the driver holds does not grow with them. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { endpointFiles } from '../../build/host/state.ts';
import { findTunnel } from '../../build/host/tunnel.ts';
import { connectEngine } from '../support/engine-client.ts';
import { faultyService, success, type Usage } from '../support/faults/service.ts';
import { growthPer1000 } from '../support/faults/slope.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { shownLinks } from '../support/namespace-links.ts';
import { createNetworkRequest } from '../support/networks.ts';

const { skip } = await enterFreshNamespace('wireguard-go', 'wg');

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const cycles = Number(process.env.WGDRIVER_TEST_CYCLES ?? (isFull ? 10_000 : 200));
const atOnce = 64;
/** Looks at what it holds, with nothing under way. */
const looks = 20;

test(`${cycles} life cycles, ${atOnce} at once: memory, open files and links stay as they are`, {
  skip,
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-load-'));
  const { backend } = await findTunnel();
  const service = faultyService({ folder, backend, speed: 1 });
  t.after(async () => {
    await service.stop('SIGKILL');
    await rm(folder, { recursive: true });
  });
  await service.start();
  const subnets = [['10.7.0.0/16', '10.7.0.1/16']] as const;
  success(await service.call('NetworkDriver.CreateNetwork', createNetworkRequest({ subnets })));

  // As the engine has it: some connections that stay.
  const engines = await Promise.all(Array.from({ length: atOnce }, () => connectEngine(service.socket)));
  let begun = 0;
  async function live(slot: number, last: number): Promise<void> {
    const engine = engines[slot] ?? assert.fail();
    while (begun < last) {
      begun += 1;
      const endpoint = { NetworkID: 'network', EndpointID: `e${begun}` };
      const Interface = { Address: `10.7.1.${slot}/16` };
      success(await engine.call('NetworkDriver.CreateEndpoint', { ...endpoint, Interface }));
      success(await engine.call('NetworkDriver.Join', { ...endpoint, SandboxKey: `/run/netns/${slot}` }));
      success(await engine.call('NetworkDriver.EndpointOperInfo', endpoint));
      success(await engine.call('NetworkDriver.Leave', endpoint));
      success(await engine.call('NetworkDriver.DeleteEndpoint', endpoint));
    }
  }

  const started = performance.now();
  const seen: (Usage & { readonly cycles: number })[] = [];
  for (let look = 1; look <= looks; look++) {
    await Promise.all(engines.map((_, slot) => live(slot, Math.round((cycles * look) / looks))));
    seen.push({ cycles: begun, ...(await service.usage()) });
    assert.deepEqual(shownLinks(), []);
    assert.deepEqual(await endpointFiles(service.state), []);
  }
  const seconds = (performance.now() - started) / 1000;

  // From the tenth part on: before, caches and the runtime's heap are filled.
  const settled = seen.slice(looks / 10);
  const slope = (of: keyof Usage) =>
    growthPer1000(settled.map(({ cycles: count, ...usage }) => [count, usage[of]]));
  const kilobytes = (bytes: number) => `${(bytes / 1024).toFixed(1)} kB`;
  t.diagnostic(
    `${begun} cycles in ${seconds.toFixed(0)} s; per 1000 cycles: heap ${kilobytes(slope('heapBytes'))}, ` +
      `resident ${kilobytes(slope('residentBytes'))}, open files ${slope('openFiles').toFixed(2)}; at the end ` +
      `heap ${kilobytes(settled.at(-1)?.heapBytes ?? 0)}, resident ${kilobytes(settled.at(-1)?.residentBytes ?? 0)}`,
  );
  // The driver's first look at links opens one or two that stay, whenever it comes, and each look has one open meanwhile.
  const filesGrowth = (settled.at(-1)?.openFiles ?? 0) - (settled[0]?.openFiles ?? 0);
  assert(filesGrowth < 8, `open files have grown by ${filesGrowth}: ${JSON.stringify(settled)}`);
  // A record of an endpoint that is not forgotten is some 500 bytes. Code that is compiled meanwhile was 340 to 414 kB, in
  // 200 cycles as in 600.
  const heapGrowth = (settled.at(-1)?.heapBytes ?? 0) - (settled[0]?.heapBytes ?? 0);
  assert(heapGrowth < 600_000 + cycles * 100, `heap has grown by ${kilobytes(heapGrowth)}`);
  for (const engine of engines) {
    engine.hangUp();
  }
  await service.stop();
});
