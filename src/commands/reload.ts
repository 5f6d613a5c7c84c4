import * as v from 'valibot';
import { decode } from '../decode.ts';
import { createEngine } from '../engine/client.ts';
import { noNames, readNames } from '../engine/names.ts';
import { type RequestError, requestsTo } from '../engine/request.ts';
import { strictCommand } from './command.ts';
import { engineOption, engineSocketOf } from './host-options.ts';
import { pluginOptions, runningPluginSocketOf } from './plugin-options.ts';

/** Hundreds of links, each by some programs. */
const timeoutMs = 600_000;

export default strictCommand({
  meta: {
    name: 'reload',
    description:
      'Read the seed, key and configuration files again, and give running containers their new keys',
  },
  args: {
    ...pluginOptions,
    ...engineOption,
    networks: {
      type: 'positional',
      required: false,
      valueHint: 'NETWORK…',
      description: 'Names or ids of networks (Default: all of this driver’s)',
    },
  },
  async run(args, wanted) {
    const engine = createEngine(engineSocketOf(args));
    const socket = await runningPluginSocketOf(args, engine);
    // Where the engine cannot be asked, ids stand in for names.
    const known = await engine.networks().catch(() => []);
    const ids = wanted.map((word) => known.find(({ name }) => name === word)?.id ?? word);
    const { networks } = await reload(socket, ids);
    const names = await readNames(engine).catch(() => noNames);
    const lines = networks.map(
      ({ networkId, links, newKeys }) =>
        `network ${names.network(networkId) ?? networkId.slice(0, 12)}: ${links} running links reloaded, ` +
        `${newKeys} with a new key`,
    );
    process.stdout.write(`${lines.length === 0 ? 'This driver has no networks.' : lines.join('\n')}\n`);
    for (const { networkId, failures } of networks) {
      for (const { endpointId, cause } of failures) {
        process.exitCode = 1;
        const subject =
          endpointId === undefined
            ? `network ${names.network(networkId) ?? networkId.slice(0, 12)}`
            : `container ${names.container(endpointId) ?? endpointId.slice(0, 12)}`;
        process.stderr.write(`wgdriver: ${subject} was not reloaded: ${cause}\n`);
      }
    }
  },
});

const answer = v.object({
  networks: v.array(
    v.object({
      networkId: v.string(),
      links: v.number(),
      newKeys: v.number(),
      failures: v.array(v.object({ endpointId: v.exactOptional(v.string()), cause: v.string() })),
    }),
  ),
});

/** @throws Error if the driver is away, or refuses */
async function reload(socket: string, networks: readonly string[]): Promise<v.InferOutput<typeof answer>> {
  const send = requestsTo(socket, timeoutMs);
  const body = await send('POST', '/Plugin.Reload', { Networks: networks }).catch((error: RequestError) => {
    throw new Error(
      error.status === 404
        ? `the driver on ${socket} is older than this command: restart it`
        : `the driver does not answer on ${socket} (${error.message}); \`wgdriver doctor\` says more`,
    );
  });
  const { Err } = decode(refusal, body, 'Plugin.Reload');
  if (Err) {
    throw new Error(Err);
  }
  return decode(answer, body, 'Plugin.Reload');
}

const refusal = v.object({ Err: v.optional(v.string()) });
