import * as v from 'valibot';
import { decode } from '../decode.ts';
import type { Plugin } from '../engine/api.ts';
import { type RequestError, requestsTo } from '../engine/request.ts';
import { type Finding, fail, pass, skip } from './finding.ts';

const name = 'plugin';
const activation = v.object({ Implements: v.array(v.string()) });
const health = v.object({ ready: v.boolean(), missing: v.optional(v.string(), '') });

/** The driver answers, and refuses every call until something is mended. */
class NotReady extends Error {
  override readonly name = 'NotReady';
}

/**
 * Asks the driver what the engine asks it first, and how it does; what it implements, or the error that came instead.
 */
export async function probePlugin(socketPath: string): Promise<readonly string[] | Error> {
  const send = requestsTo(socketPath);
  try {
    const { Implements } = decode(activation, await send('POST', '/Plugin.Activate'), 'Plugin.Activate');
    const answer = await send('GET', '/Plugin.Health').catch((error: RequestError) => {
      // A driver of before it, or somebody else's.
      if (error.status === undefined) {
        throw error;
      }
      return { ready: true };
    });
    const { ready, missing } = decode(health, answer, 'Plugin.Health');
    return ready ? Implements : new NotReady(missing);
  } catch (error) {
    return error as Error;
  }
}

export function judgeDisabled({ name: plugin }: Plugin): Finding {
  return fail(
    name,
    `the managed plugin ${plugin} is disabled`,
    `enable it: \`docker plugin enable ${plugin}\``,
  );
}

/** @param answer what Plugin.Activate says it implements, or the error that came instead */
export function judgePlugin(socketPath: string, answer: readonly string[] | Error): Finding {
  if (!(answer instanceof Error)) {
    return answer.includes('NetworkDriver')
      ? pass(name, `a network driver answers on ${socketPath}`)
      : fail(name, `${socketPath} answers, but as no network driver`, 'choose another --name or --socket');
  }
  if (answer instanceof NotReady) {
    return fail(
      name,
      `the driver answers, and refuses every call: ${answer.message}`,
      'mend that; the driver tries again every few seconds',
    );
  }
  if ((answer as RequestError).status === 503) {
    return fail(
      name,
      'the driver cannot start, and systemd has given up',
      '`systemctl status wgdriver` says why; mend that, then `systemctl reset-failed wgdriver` and `systemctl restart wgdriver`',
    );
  }
  switch ((answer as NodeJS.ErrnoException).code) {
    case 'EACCES':
      return skip(name, `${socketPath} is for root alone`);
    case 'ENOENT':
      return fail(
        name,
        `${socketPath} is not there`,
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
        `${socketPath} does not answer as a plugin does: ${answer.message}`,
        'restart the driver, and read its log',
      );
  }
}
