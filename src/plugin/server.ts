import { Buffer } from 'node:buffer';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Log, msSince } from '../log.ts';
import type { Driver } from './driver.ts';
import { type Route, routesOf } from './routes.ts';
import { claimSocket, type SocketSource, secureSocket } from './socket.ts';

/** The engine's largest bodies are a few kilobytes. */
const maxBodyBytes = 1024 * 1024;
const contentType = 'application/vnd.docker.plugins.v1.2+json';

export interface PluginServer {
  /** Takes no more calls, lets those under way finish, and removes the socket unless it was inherited. */
  close(): Promise<void>;
}

/**
 * Serves a driver to the engine over HTTP/1.1 on a unix socket that only root can reach.
 * @throws Error if another process answers on the socket
 */
export async function servePlugin(driver: Driver, socket: SocketSource, log: Log): Promise<PluginServer> {
  const routes = routesOf(driver);
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, requireHostHeader: false });
  const connections = new Set<Socket>();
  const unanswered = new Set<IncomingMessage>();
  server.on('connection', (connection: Socket) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    unanswered.add(request);
    response.once('close', () => unanswered.delete(request));
    void answer(routes, request, log).then((reply) => {
      if (reply !== undefined) {
        send(response, reply, server.listening);
      }
    });
  });
  server.on('clientError', (_error, connection) => {
    const body = JSON.stringify({ Err: 'malformed HTTP request' });
    connection.end(
      `HTTP/1.1 400 Bad Request\r\nContent-Type: ${contentType}\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
  await listen(server, socket);
  return {
    close: () =>
      new Promise((resolve) => {
        // libuv unlinks the socket that it bound, and only that.
        server.close(() => resolve());
        // Node waits for a client that has sent half a request or nothing yet, and with no time limit on
        // requests it would wait for ever. Only whole calls are under way.
        const busy = new Set([...unanswered].filter(({ complete }) => complete).map(({ socket }) => socket));
        for (const connection of connections) {
          if (!busy.has(connection)) {
            connection.destroy();
          }
        }
      }),
  };
}

interface Reply {
  readonly status: number;
  readonly body: object;
}

/** Answers one request; undefined if the client hung up before its request was whole. Never rejects. */
async function answer(
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  log: Log,
): Promise<Reply | undefined> {
  const path = request.url ?? '';
  const started = performance.now();
  let text: string | undefined;
  try {
    const route = routes.get(path);
    // The body is read even where it is not wanted: the next request comes behind it.
    text = await readBody(request);
    if (route === undefined) {
      return { status: 404, body: { Err: `${path}: no such call` } };
    }
    if (request.method !== 'POST') {
      return { status: 405, body: { Err: `${path}: expected POST` } };
    }
    const body = await route.call(parseBody(text, route.allowsEmptyBody));
    log.debug(path.slice(1), { ms: msSince(started) });
    return { status: 200, body };
  } catch (error) {
    if (request.destroyed && !request.complete) {
      log.debug(`${path.slice(1)}: the client hung up`);
      return undefined;
    }
    const message = error instanceof Error ? error.message : String(error);
    log.warn(`${path.slice(1)} failed: ${message}`, { ms: msSince(started) });
    // 200 even so: with another status the engine shows the user its own words around ours.
    return { status: 200, body: { Err: message } };
  }
}

function send(response: ServerResponse, { status, body }: Reply, keepAlive: boolean): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(text),
    ...(keepAlive ? {} : { Connection: 'close' }),
  });
  response.end(text);
}

/** Reads a body to its end, and throws only then if it was too large: the client is still writing. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += (chunk as Buffer).length;
    if (length <= maxBodyBytes) {
      chunks.push(chunk as Buffer);
    }
  }
  if (length > maxBodyBytes) {
    throw new Error(`body: expected at most ${maxBodyBytes} bytes, got ${length}`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new Error('body: expected UTF-8');
  }
}

/**
 * The engine's retry after a broken connection sends an empty body. Taken for `{}` it would be a
 * success that never happened, so it is an error wherever a body belongs.
 */
function parseBody(text: string, allowsEmptyBody: boolean): unknown {
  if (text.trim() === '') {
    if (allowsEmptyBody) {
      return undefined;
    }
    throw new Error('body: expected a JSON object, got nothing (a retry of a call that broke off?)');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('body: expected a JSON object, got something that is not JSON');
  }
}

async function listen(server: Server, socket: SocketSource): Promise<void> {
  if ('path' in socket) {
    await claimSocket(socket.path);
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, () => {
      server.off('error', reject);
      resolve();
    });
  });
  if ('path' in socket) {
    await secureSocket(socket.path);
  }
}
