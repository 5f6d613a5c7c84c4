import { Buffer } from 'node:buffer';
import { type IncomingMessage, request as startRequest } from 'node:http';

/**
 * `fetch` over a unix socket; the URL's host goes into the Host header alone. Takes what ofetch gives: the
 * URL as text, a body as text. The answer is whole before the promise resolves, so that a signal which
 * ends the waiting covers all of it.
 * @throws Error with the errno as `code` (ENOENT, ECONNREFUSED, EACCES, …)
 */
export function unixFetch(socketPath: string): typeof fetch {
  return (input, init = {}) =>
    new Promise((resolve, reject) => {
      const { host, pathname, search } = new URL(String(input));
      const options = {
        socketPath,
        path: pathname + search,
        method: init.method ?? 'GET',
        headers: { ...Object.fromEntries(new Headers(init.headers)), host },
        agent: false,
        ...(init.signal ? { signal: init.signal } : {}),
      };
      const request = startRequest(options, (message) => {
        toResponse(message).then(resolve, reject);
      });
      request.on('error', reject);
      request.end(init.body);
    });
}

async function toResponse(message: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) {
    chunks.push(chunk as Buffer);
  }
  return new Response(chunks.length === 0 ? null : Buffer.concat(chunks), {
    status: message.statusCode ?? 0,
    headers: { 'content-type': message.headers['content-type'] ?? '' },
  });
}
