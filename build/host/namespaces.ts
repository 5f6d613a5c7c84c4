/** Network namespaces in place of an engine's containers, where there are many. All are on the network `n`, a /16. */
import { requestsTo } from '../../src/engine/request.ts';
import { run, sh } from './commands.ts';
import { pluginSocket } from './driver.ts';

const send = requestsTo(pluginSocket, 60_000);

/** Calls the driver as an engine does. @throws Error with the driver's own, by the method */
export async function call(method: string, body: Readonly<Record<string, unknown>>): Promise<unknown> {
  const answer = (await send('POST', `/NetworkDriver.${method}`, body)) as { Err?: string };
  if (answer.Err) {
    throw new Error(`${method}: ${answer.Err}`);
  }
  return answer;
}

/**
 * Makes the namespace of a number, with a link of the driver's as wg0, up and without routes.
 * @param options of the endpoint
 * @returns also how long the driver took for its Join
 */
export async function startNamespace(
  number: number,
  options: Readonly<Record<string, string>> = {},
): Promise<{ name: string; address: string; joinMs: number }> {
  const address = `192.168.${(number + 2) >> 8}.${(number + 2) & 255}`;
  const name = `c${number}`;
  // The names of links are made from the first digits.
  const EndpointID = number.toString(16).padStart(64, '0').split('').reverse().join('');
  const endpoint = { NetworkID: 'n', EndpointID };
  await run('ip', ['netns', 'add', name]);
  await call('CreateEndpoint', { ...endpoint, Interface: { Address: `${address}/16` }, Options: options });
  const started = performance.now();
  const { InterfaceName } = (await call('Join', { ...endpoint, SandboxKey: `/run/netns/${name}` })) as {
    InterfaceName: { SrcName: string };
  };
  const joinMs = performance.now() - started;
  await sh(
    `ip link set "$2" netns "$1" name wg0; ip -n "$1" address add "$3/16" dev wg0; ip -n "$1" link set wg0 up`,
    name,
    InterfaceName.SrcName,
    address,
  );
  return { name, address, joinMs };
}
