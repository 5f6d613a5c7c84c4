/**
 * Life cycles of networks and endpoints without end, as a program for a machine that loses its power: it
 * says what it has been answered, and what it is about to ask. `storm.ts SOCKET NAME`
 */

import { connectEngine } from '../engine-client.ts';
import { createNetworkRequest } from '../networks.ts';

const [socket = '', name = ''] = process.argv.slice(2);
const atOnce = 4;

async function call(
  engine: Awaited<ReturnType<typeof connectEngine>>,
  method: string,
  body: object,
): Promise<void> {
  const answer = await engine.call(`NetworkDriver.${method}`, body);
  if ('Err' in (answer.body as object)) {
    throw new Error(`${method}: ${JSON.stringify(answer.body)}`);
  }
}

async function live(worker: number): Promise<never> {
  const engine = await connectEngine(socket);
  for (let count = 0; ; count++) {
    const id = `${name}-${worker}-${count}`;
    const endpoint = { NetworkID: id, EndpointID: id };
    await call(engine, 'CreateNetwork', createNetworkRequest({ id }));
    console.log(`created ${id}`);
    await call(engine, 'CreateEndpoint', { ...endpoint, Interface: { Address: '192.168.5.2/24' } });
    await call(engine, 'Join', { ...endpoint, SandboxKey: `/run/netns/${id}` });
    // A third is left as it is.
    if (count % 3 > 0) {
      await call(engine, 'DeleteEndpoint', endpoint);
      console.log(`deleting ${id}`);
      await call(engine, 'DeleteNetwork', { NetworkID: id });
      console.log(`deleted ${id}`);
    }
  }
}

await Promise.all(Array.from({ length: atOnce }, (_, worker) => live(worker)));
