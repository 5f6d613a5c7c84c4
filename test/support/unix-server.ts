import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface UnixServer {
  readonly socketPath: string;
  /** What was asked, such as `GET /version`, in order. */
  readonly asked: string[];
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers HTTP on a unix socket of its own until the test ends. */
export async function serveUnix(t: TestContext, answer: Answer): Promise<UnixServer> {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-'));
  const socketPath = join(folder, 's.sock');
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${decodeURIComponent(request.url ?? '')}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });
  return { socketPath, asked };
}

/** Answers each path, its query left out, with JSON; 404 as the engine does for the others. */
export function answers(byPath: Readonly<Record<string, unknown>>): Answer {
  return (request, response) => {
    const body = byPath[new URL(request.url ?? '', 'http://localhost').pathname];
    response.writeHead(body === undefined ? 404 : 200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(body ?? { message: 'page not found' }));
  };
}
