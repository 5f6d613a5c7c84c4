import * as v from 'valibot';
import { decode } from '../decode.ts';
import type { Plugin } from '../engine/api.ts';
import { type RequestError, requestsTo } from '../engine/request.ts';
import type { SeenHandshakes } from '../wireguard/handshake-age.ts';
import { type Finding, fail, listed, pass, skip } from './finding.ts';

const name = 'plugin';
const activation = v.object({ Implements: v.array(v.string()) });
const health = v.object({
  ready: v.boolean(),
  missing: v.optional(v.string(), ''),
  endpoints: v.optional(
    v.array(
      v.object({
        endpointId: v.string(),
        container: v.optional(v.string()),
        killswitch: v.optional(v.string()),
        hubs: v.optional(
          v.array(
            v.object({
              publicKey: v.string(),
              lastHandshake: v.optional(v.string()),
              // A driver of before it does not say.
              lastHandshakeAgeSeconds: v.optional(v.number()),
            }),
          ),
          [],
        ),
      }),
    ),
    [],
  ),
});

/** What a driver that serves says. */
export interface PluginAnswer {
  readonly implements: readonly string[];
  /** Containers that have a kill switch which is not as it should be; by their endpoints' ids where no name is known. */
  readonly unprotected: readonly string[];
  /** By the endpoints' ids. */
  readonly handshakes: ReadonlyMap<string, SeenHandshakes>;
}

/** It reads the links of all containers, which takes many seconds where there are hundreds, by programs. */
const healthTimeoutMs = 60_000;

/** The driver answers, and refuses every call until something is mended. */
class NotReady extends Error {
  override readonly name = 'NotReady';
}

/** Asks the driver what the engine asks it first, and how it does; its answer, or the error that came instead. */
export async function probePlugin(socketPath: string): Promise<PluginAnswer | Error> {
  const send = requestsTo(socketPath);
  try {
    const { Implements } = decode(activation, await send('POST', '/Plugin.Activate'), 'Plugin.Activate');
    const answer = await requestsTo(socketPath, healthTimeoutMs)('GET', '/Plugin.Health').catch(
      (error: RequestError) => {
        // A driver of before it, or somebody else's.
        if (error.status === undefined) {
          throw error;
        }
        return { ready: true };
      },
    );
    const atMs = performance.now();
    const { ready, missing, endpoints } = decode(health, answer, 'Plugin.Health');
    const unprotected = endpoints
      .filter(({ killswitch }) => killswitch === 'down')
      .map(({ container, endpointId }) => container ?? endpointId.slice(0, 12));
    const handshakes = new Map(
      endpoints.map(({ endpointId, hubs }) => [endpointId, { atMs, peers: handshakesOf(hubs) }] as const),
    );
    return ready ? { implements: Implements, unprotected, handshakes } : new NotReady(missing);
  } catch (error) {
    return error as Error;
  }
}

function handshakesOf(
  hubs: v.InferOutput<typeof health>['endpoints'][number]['hubs'],
): SeenHandshakes['peers'] {
  return new Map(
    hubs.flatMap(({ publicKey, lastHandshake, lastHandshakeAgeSeconds: seconds }) =>
      lastHandshake === undefined || seconds === undefined
        ? []
        : [[publicKey, { handshake: Date.parse(lastHandshake), ageMs: 1000 * seconds }] as const],
    ),
  );
}

export function judgeDisabled({ name: plugin }: Plugin): Finding {
  return fail(
    name,
    `the managed plugin ${plugin} is disabled`,
    `enable it: \`docker plugin enable ${plugin}\``,
  );
}

/** @param answer the driver's, or the error that came instead */
export function judgePlugin(socketPath: string, answer: PluginAnswer | Error): Finding {
  if (!(answer instanceof Error)) {
    if (!answer.implements.includes('NetworkDriver')) {
      return fail(
        name,
        `what answers on ${socketPath} is not a network driver`,
        'choose another --name or --socket',
      );
    }
    return answer.unprotected.length === 0
      ? pass(name, `a network driver answers on ${socketPath}`)
      : fail(
          name,
          `the driver cannot update the kill switch of these containers, and their traffic may leave unencrypted: ${listed(answer.unprotected)}`,
          'the driver’s log says why, and it tries again every few seconds; stop these containers until that is fixed',
        );
  }
  if (answer instanceof NotReady) {
    return fail(
      name,
      `the driver answers, and refuses every call: ${answer.message}`,
      'fix that; the driver tries again every few seconds',
    );
  }
  if ((answer as RequestError).status === 503) {
    return fail(
      name,
      'the driver cannot start, and systemd has stopped trying',
      '`systemctl status wgdriver` says why; fix that, then run `systemctl reset-failed wgdriver` and `systemctl restart wgdriver`',
    );
  }
  switch ((answer as NodeJS.ErrnoException).code) {
    case 'EACCES':
      return skip(name, `only root may use ${socketPath}`);
    case 'ENOENT':
      return fail(
        name,
        `${socketPath} does not exist`,
        'start the driver: `wgdriver service install`, or `wgdriver serve`',
      );
    case 'ECONNREFUSED':
      return fail(
        name,
        `nobody answers on ${socketPath}`,
        'start the driver: `wgdriver service install`, or `wgdriver serve`',
      );
    default:
      return fail(
        name,
        `what answers on ${socketPath} is not a Docker plugin: ${answer.message}`,
        'restart the driver, and read its log',
      );
  }
}
