import { test } from 'node:test';
import { fuzz } from './fuzz.ts';

// `npm run fuzz` is the same fifty times over.
test('whatever is sent to the socket, given as options or found as state: an answer, and no crash', async (t) => {
  const seed = Number(process.env.WGDRIVER_TEST_SEED ?? Date.now() % 2 ** 31);
  await fuzz({ requests: 20_000, seed, report: (line) => t.diagnostic(line) });
});
