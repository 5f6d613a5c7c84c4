import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { requestUapi, uapiSocketOf } from '../../../src/links/userspace/uapi-socket.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';

// With a /run of its own.
const { skip } = await enterFreshNamespace();

/** An implementation that answers in pieces. */
async function answering(t: TestContext, name: string, ...pieces: readonly string[]): Promise<void> {
  mkdirSync(dirname(uapiSocketOf(name)), { recursive: true });
  const server = createServer((connection) => {
    connection.once('data', async () => {
      for (const piece of pieces) {
        connection.write(piece);
        await sleep(20);
      }
      connection.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(uapiSocketOf(name), resolve));
  t.after(() => server.close());
}

test('an answer ends with its empty line, wherever it is cut', { skip }, async (t) => {
  await answering(t, 'wg0', 'public_key=', 'aa\nrx_bytes=1\n', '\n', 'never read');
  assert.equal(await requestUapi('wg0', 'get=1\n\n'), 'public_key=aa\nrx_bytes=1\n\n');
});

test('an answer without an end is none, and neither is a socket without a link', { skip }, async (t) => {
  await answering(t, 'wg1', 'errno=0\n');
  await assert.rejects(requestUapi('wg1', 'get=1\n\n'), /closed before it answered/);
  await assert.rejects(requestUapi('wg2', 'get=1\n\n'), { code: 'ENOENT' });
});
