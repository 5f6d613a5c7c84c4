import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { connect } from 'node:net';

export interface Answer {
  readonly status: number;
  /** By lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  /** The JSON in the body. */
  readonly body: unknown;
}

/** A connection to a plugin's socket, on which the engine's bytes are sent as they are. */
export interface EngineConnection {
  send(bytes: string | Uint8Array): void;
  /** The next answer. Rejects if the connection ends before it is whole. */
  answer(): Promise<Answer>;
  /** Sends a call as the engine does, and reads its answer. */
  call(method: string, body?: unknown): Promise<Answer>;
  /** Resolves when the other side has ended the connection. */
  ended(): Promise<void>;
  /** Ends it at once, whatever is under way. */
  hangUp(): void;
}

/**
 * The bytes of a call as moby's pkg/plugins sends them: an empty Host, no Content-Type, and a new line
 * behind the JSON, which Go's encoder writes. Without a body there is none, as in Plugin.Activate and
 * in a retry, whose buffer has been drained.
 */
export function callBytes(method: string, body?: unknown): string {
  return requestBytes(method, body === undefined ? '' : `${JSON.stringify(body)}\n`);
}

export function requestBytes(method: string, body: string): string {
  return (
    `POST /${method} HTTP/1.1\r\n` +
    'Host: \r\n' +
    'User-Agent: Go-http-client/1.1\r\n' +
    `Content-Length: ${Buffer.byteLength(body)}\r\n` +
    'Accept: application/vnd.docker.plugins.v1.2+json\r\n' +
    'Accept-Encoding: gzip\r\n' +
    `\r\n${body}`
  );
}

export async function connectEngine(path: string): Promise<EngineConnection> {
  const socket = connect(path);
  const answers: Answer[] = [];
  const waiting: { resolve(answer: Answer): void; reject(error: Error): void }[] = [];
  let received = Buffer.alloc(0);
  let over = false;

  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    for (let parsed = parseAnswer(received); parsed !== undefined; parsed = parseAnswer(received)) {
      received = received.subarray(parsed.length);
      const next = waiting.shift();
      if (next === undefined) {
        answers.push(parsed.answer);
      } else {
        next.resolve(parsed.answer);
      }
    }
  });
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => {
      over = true;
      for (const { reject } of waiting.splice(0)) {
        reject(new Error('the connection ended before the answer'));
      }
      resolve();
    });
  });
  await once(socket, 'connect');
  // Reset by the other side: `ended` tells.
  socket.on('error', () => {});

  const connection: EngineConnection = {
    send: (bytes) => void socket.write(bytes),
    answer: () =>
      new Promise((resolve, reject) => {
        const answer = answers.shift();
        if (answer !== undefined) {
          resolve(answer);
        } else if (over) {
          reject(new Error('the connection had ended before'));
        } else {
          waiting.push({ resolve, reject });
        }
      }),
    call(method, body) {
      socket.write(callBytes(method, body));
      return connection.answer();
    },
    ended: () => ended,
    hangUp: () => socket.destroy(),
  };
  return connection;
}

function parseAnswer(received: Buffer): { answer: Answer; length: number } | undefined {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd === -1) {
    return undefined;
  }
  const [statusLine = '', ...headerLines] = received.subarray(0, headEnd).toString('latin1').split('\r\n');
  const headers = new Map(
    headerLines.map((line) => {
      const [name = '', ...value] = line.split(':');
      return [name.toLowerCase(), value.join(':').trim()] as const;
    }),
  );
  // Like the engine: without it an answer would have no end.
  const bodyLength = Number(headers.get('content-length'));
  const bodyStart = headEnd + 4;
  if (received.length < bodyStart + bodyLength) {
    return undefined;
  }
  const text = received.subarray(bodyStart, bodyStart + bodyLength).toString('utf8');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
  return { answer: { status, headers, body: JSON.parse(text) }, length: bodyStart + bodyLength };
}
