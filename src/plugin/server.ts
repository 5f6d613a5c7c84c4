import { Buffer } from 'node:buffer';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Log, msSince } from '../log.ts';
import { type Plugin, type Route, routesOf } from './calls.ts';
import { claimSocket, type SocketSource, secureSocket } from './socket.ts';

/** What one client may ask of the server at the cost of the others. */
export interface Limits {
  /** Of one body. The engine's largest are a few kilobytes. */
  readonly bodyBytes: number;
  /** Of all bodies that are being read; those under `smallBodyBytes` are read even so. */
  readonly allBodiesBytes: number;
  readonly smallBodyBytes: number;
  /** From the first byte of a request to the last of its header, and of its body. */
  readonly headerMs: number;
  readonly requestMs: number;
  /** Above it, a new connection costs the one its place that has been silent for longest. */
  readonly connections: number;
  /** Calls under way; above it, they are refused. */
  readonly calls: number;
  /** From an answer to when the client must have taken it all. */
  readonly answerMs: number;
}

/** An engine starts at most 128 containers at once for each processor, each by one call at a time. */
export const defaultLimits: Limits = {
  bodyBytes: 1024 * 1024,
  allBodiesBytes: 64 * 1024 * 1024,
  smallBodyBytes: 16 * 1024,
  headerMs: 10_000,
  requestMs: 30_000,
  connections: 4096,
  calls: 4096,
  answerMs: 30_000,
};

/** For whoever reaches the port of metrics: a few Prometheus servers, whose scrapes have no body. */
export const metricsLimits: Limits = {
  bodyBytes: 1024,
  allBodiesBytes: 16 * 1024,
  smallBodyBytes: 0,
  headerMs: 10_000,
  requestMs: 10_000,
  connections: 32,
  calls: 32,
  answerMs: 10_000,
};

const apiType = 'application/vnd.docker.plugins.v1.2+json';

export interface PluginServer {
  /** Takes no more calls, lets those under way finish, and removes the socket unless it was inherited. */
  close(): Promise<void>;
}

/**
 * Serves a plugin to the engine over HTTP/1.1 on a unix socket that only root can reach.
 * @throws Error if another process answers on the socket
 */
export function servePlugin(
  plugin: Plugin,
  socket: SocketSource,
  log: Log,
  limits: Limits = defaultLimits,
): Promise<PluginServer> {
  return serveRoutes(routesOf(plugin), socket, log, limits);
}

/** Where else than on a socket of its own: for metrics, which anybody may have. */
export interface Port {
  readonly host: string;
  readonly port: number;
}

/** Serves routes, to clients that may be slow, many or hostile. @throws Error as servePlugin, or if it cannot listen */
export async function serveRoutes(
  routes: ReadonlyMap<string, Route>,
  socket: SocketSource | Port,
  log: Log,
  limits: Limits = defaultLimits,
): Promise<PluginServer> {
  const server = createServer({
    // The engine keeps connections for later calls, and loses the call if one ends at that moment.
    keepAliveTimeout: 0,
    headersTimeout: limits.headerMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: limits.headerMs / 2,
    requireHostHeader: false,
  });
  const readBody = createBodyReader(limits);
  // Connections without an answer yet, and with; each with the one first that has been so for longest.
  const unservedConnections = new Set<Socket>();
  const servedConnections = new Set<Socket>();
  const unanswered = new Set<IncomingMessage>();
  /** The connections with a whole call under way. */
  const busy = () =>
    new Set([...unanswered].filter(({ complete }) => complete).map(({ socket: connection }) => connection));

  server.on('connection', (connection: Socket) => {
    if (unservedConnections.size + servedConnections.size >= limits.connections) {
      const calling = busy();
      const idle = [...unservedConnections, ...servedConnections].find(
        (candidate) => !calling.has(candidate),
      );
      log.warn('too many connections: an idle one is closed', { connections: limits.connections });
      (idle ?? connection).destroy();
    }
    unservedConnections.add(connection);
    connection.once('close', () => {
      unservedConnections.delete(connection);
      servedConnections.delete(connection);
    });
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const isTooMany = unanswered.size >= limits.calls;
    unanswered.add(request);
    response.once('close', () => {
      unanswered.delete(request);
      unservedConnections.delete(request.socket);
      servedConnections.delete(request.socket);
      if (!request.socket.destroyed) {
        servedConnections.add(request.socket);
      }
    });
    if (isTooMany) {
      request.resume();
      const message = `too many calls at once: expected at most ${limits.calls}`;
      log.warn(`${request.url?.slice(1)} failed: ${message}`);
      send(response, { status: 200, body: { Err: message } }, server.listening);
      return;
    }
    void answer(routes, request, readBody, log).then((reply) => {
      if (reply !== undefined) {
        send(response, reply, server.listening);
        endUnlessTaken(response, limits.answerMs);
      }
    });
  });
  // Node's own answer to an Expect that it does not know has no body.
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    server.emit('request', request, response),
  );
  server.on('clientError', (error: NodeJS.ErrnoException, connection: Socket) => {
    const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
    // Node counts from the connection's first moment; but the engine may open one in reserve.
    if (isLate && connection.bytesRead === 0) {
      return;
    }
    const [status, Err] = isLate
      ? ['408 Request Timeout', 'the request took too long to arrive']
      : ['400 Bad Request', 'malformed HTTP request'];
    const body = JSON.stringify({ Err });
    connection.end(
      `HTTP/1.1 ${status}\r\nContent-Type: ${apiType}\r\n` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      () => connection.destroy(),
    );
  });
  await listen(server, socket);
  return {
    close: () =>
      new Promise((resolve) => {
        // libuv unlinks the socket that it bound, and only that.
        server.close(() => resolve());
        // Node waits for a client that has sent half a request or nothing yet. Only whole calls are under way.
        const calling = busy();
        for (const connection of [...unservedConnections, ...servedConnections]) {
          if (!calling.has(connection)) {
            connection.destroy();
          }
        }
      }),
  };
}

interface Reply {
  readonly status: number;
  readonly body: object | string;
  readonly contentType?: string | undefined;
}

/** Answers one request; undefined if the client hung up before its request was whole. Never rejects. */
async function answer(
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  readBody: BodyReader,
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
    if (request.method !== route.method) {
      return { status: 405, body: { Err: `${path}: expected ${route.method}` } };
    }
    const body = await route.call(parseBody(text, route.allowsEmptyBody));
    log.debug(path.slice(1), { ms: msSince(started) });
    return { status: 200, body, contentType: route.contentType };
  } catch (error) {
    if (request.destroyed && !request.complete) {
      log.debug(`${path.slice(1)}: the client hung up`);
      return undefined;
    }
    const message = error instanceof Error ? error.message : String(error);
    log.warn(`${path.slice(1)} failed: ${message}`, { ms: msSince(started) });
    // 200 even so: with another status the engine shows the user its own words around ours.
    return { status: request.method === 'GET' ? 500 : 200, body: { Err: message } };
  }
}

function send(
  response: ServerResponse,
  { status, body, contentType = apiType }: Reply,
  keepAlive: boolean,
): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(text),
    ...(keepAlive ? {} : { Connection: 'close' }),
  });
  response.end(text);
}

/** A client that reads nothing keeps the answer in memory, and its call under way. */
function endUnlessTaken(response: ServerResponse, ms: number): void {
  const timer = setTimeout(() => response.destroy(), ms).unref();
  response.once('close', () => clearTimeout(timer));
}

/** Reads a body to its end, and throws only then if it was too large: the client is still writing. */
type BodyReader = (request: IncomingMessage) => Promise<string>;

function createBodyReader({ bodyBytes, allBodiesBytes, smallBodyBytes }: Limits): BodyReader {
  let keptByAll = 0;
  return async (request) => {
    let chunks: Buffer[] = [];
    let [length, kept, isRoom] = [0, 0, true];
    const drop = () => {
      chunks = [];
      keptByAll -= kept;
      kept = 0;
    };
    try {
      for await (const chunk of request) {
        const { length: more } = chunk as Buffer;
        length += more;
        isRoom &&= length <= smallBodyBytes || keptByAll + more <= allBodiesBytes;
        if (isRoom && length <= bodyBytes) {
          chunks.push(chunk as Buffer);
          kept += more;
          keptByAll += more;
        } else {
          drop();
        }
      }
      if (length > bodyBytes) {
        throw new Error(`body: expected at most ${bodyBytes} bytes, got ${length}`);
      }
      if (!isRoom) {
        throw new Error(`body: ${length} bytes are too many while others are read; try again`);
      }
      try {
        return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
      } catch {
        throw new Error('body: expected UTF-8');
      }
    } finally {
      drop();
    }
  };
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

async function listen(server: Server, socket: SocketSource | Port): Promise<void> {
  if ('path' in socket) {
    await claimSocket(socket);
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, () => {
      server.off('error', reject);
      resolve();
    });
  });
  if ('path' in socket) {
    try {
      await secureSocket(socket.path);
    } catch (error) {
      // It would go on answering, and keep the process alive.
      server.close();
      server.closeAllConnections();
      throw error;
    }
  }
}
