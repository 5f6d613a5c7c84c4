import { Buffer } from 'node:buffer';
import { request as startRequest } from 'node:http';

/** Both ends are on this host: an answer comes at once, or something is wrong. */
const defaultTimeoutMs = 10_000;

/** Sends a request and gives the JSON of its answer. @throws RequestError */
export type SendRequest = (
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: Readonly<Record<string, unknown>>,
) => Promise<unknown>;

/** What a request met: `GET /version: ECONNREFUSED`. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  /** The errno if there was no answer, such as ENOENT. */
  readonly code: string | undefined;
  /** The HTTP status if there was one. */
  readonly status: number | undefined;

  constructor(request: string, cause: string, code?: string, status?: number) {
    super(`${request}: ${cause}`);
    this.code = code;
    this.status = status;
  }
}

/**
 * Requests over HTTP on a unix socket, each with a connection of its own. Without `fetch` and its `Headers` and
 * `Response`: loading them costs a process of Node 15 MB, a third of what the driver has in all.
 */
export function requestsTo(
  socketPath: string,
  timeoutMs = defaultTimeoutMs,
  isOver?: AbortSignal,
): SendRequest {
  return (method, path, body) =>
    new Promise((resolve, reject) => {
      const what = `${method} ${path}`;
      const text = body === undefined ? undefined : JSON.stringify(body);
      const fail = ({ name, code, message }: NodeJS.ErrnoException) =>
        reject(
          name === 'TimeoutError' || name === 'AbortError'
            ? new RequestError(what, `no answer in ${timeoutMs / 1000} s`, 'ETIMEDOUT')
            : new RequestError(what, code ?? message, code),
        );
      const request = startRequest({
        socketPath,
        path,
        method,
        agent: false,
        headers: {
          Host: 'localhost',
          Accept: 'application/json',
          ...(text !== undefined && {
            'Content-Type': 'application/json',
            'Content-Length': Buffer.byteLength(text),
          }),
        },
        // Of all, up to the answer's last byte.
        signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(isOver ? [isOver] : [])]),
      });
      request.on('error', fail);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('error', fail);
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const { statusCode: status = 0 } = response;
          const answer = parsed(Buffer.concat(chunks).toString());
          if (status < 400) {
            resolve(answer);
          } else {
            reject(new RequestError(what, `status ${status}${reasonIn(answer)}`, undefined, status));
          }
        });
      });
      request.end(text);
    });
}

/** Undefined if it is no JSON, which no caller takes for an answer. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The engine says `{"message": …}` where it refuses. */
function reasonIn(answer: unknown): string {
  const message = (answer as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? `: ${message}` : '';
}
