import { createFetch, type FetchError } from 'ofetch';
import { unixFetch } from './unix-fetch.ts';

/** Both ends are on this host: an answer comes at once, or something is wrong. */
const defaultTimeoutMs = 10_000;

/** Sends a request and gives the JSON of its answer. @throws RequestError */
export type SendRequest = (
  method: 'GET' | 'POST',
  path: string,
  query?: Readonly<Record<string, string>>,
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

/** Requests over HTTP on a unix socket, each with a connection of its own. */
export function requestsTo(socketPath: string, timeoutMs = defaultTimeoutMs): SendRequest {
  const send = createFetch({
    fetch: unixFetch(socketPath),
    defaults: { baseURL: 'http://localhost', retry: false, timeout: timeoutMs },
  });
  return async (method, path, query = {}, body) => {
    try {
      return await send(path, { method, query, ...(body && { body }) });
    } catch (error) {
      throw requestError(`${method} ${path}`, timeoutMs, error as FetchError);
    }
  };
}

/** ofetch's error holds request and answer, so only what is known to be harmless is taken from it. */
function requestError(request: string, timeoutMs: number, { status, data, cause }: FetchError): RequestError {
  if (status !== undefined) {
    // The engine says `{"message": …}` where it refuses.
    const reason = typeof data?.message === 'string' ? `: ${data.message}` : '';
    return new RequestError(request, `status ${status}${reason}`, undefined, status);
  }
  const { name, code, message } = cause as NodeJS.ErrnoException;
  return name === 'AbortError' || name === 'TimeoutError'
    ? new RequestError(request, `no answer in ${timeoutMs / 1000} s`, 'ETIMEDOUT')
    : new RequestError(request, code ?? message, code);
}
